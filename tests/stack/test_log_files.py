from pathlib import Path

from slipway.stack.log_files import last_lines, size_bytes


def test_the_last_lines_of_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert last_lines(log, 2) == ["line 49998", "line 49999"]


def test_a_log_shorter_than_asked_is_given_whole(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("one\ntwo\n")
    assert last_lines(log, 10) == ["one", "two"]


def test_lines_of_an_earlier_start_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("old\n")
    start = size_bytes(log)
    with log.open("a") as file:
        file.write("new\n")
    assert last_lines(log, 10, since_byte=start) == ["new"]


def test_a_log_rotated_meanwhile_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("new\n")
    assert last_lines(log, 10, since_byte=1_000) == ["new"]


def test_no_log_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log", 10) == []
