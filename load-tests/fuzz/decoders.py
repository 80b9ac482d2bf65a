"""Coverage-guided fuzzing of everything that reads a caller's bytes: gRPC, REST, raw tensors, records.

A decoder may give a call or refuse with InvalidInput; anything else is a bug. Arguments are libFuzzer's.

Examples:
  python load-tests/fuzz/decoders.py -max_total_time=60
  python load-tests/fuzz/decoders.py -runs=20000 corpus/
"""

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["services.gateway", "slipway"]):
    from services.gateway import rest_wire, wire
    from services.gateway.domain import elements
    from services.gateway.domain.checks import check_inputs
    from services.gateway.domain.contract import contract_of
    from services.gateway.domain.json_tensors import to_raw
    from slipway import oip_json, spec
    from slipway.errors import InvalidInput

DATATYPES = ("BOOL", "INT32", "INT64", "FP32", "FP64", "BYTES", "FP16", "")
NUMBERS = """
name: m
task: binary
features: [{name: a, nullable: true}, {name: b}]
label: {name: y, classes: ["0", "1"]}
"""
TEXTS = NUMBERS.replace("{name: b}", "{name: b, type: categorical}")
CONTRACTS = tuple(contract_of(spec.parse(yaml)) for yaml in (NUMBERS, TEXTS))


def grpc(data: bytes) -> None:
    """A ModelInferRequest, as far as the model."""
    call = wire.read_call(data)
    for contract in CONTRACTS:
        check_inputs(contract, call.tensors)


def grpc_answer(data: bytes) -> None:
    """A ModelInferResponse of an upstream server that may be anybody's."""
    wire.read_answer(data)


def rest(data: bytes) -> None:
    """JSON alone, as far as the model."""
    call, _ = rest_wire.read_call(data, None, model="m", version="")
    for contract in CONTRACTS:
        check_inputs(contract, call.tensors)


def rest_binary(data: bytes) -> None:
    """JSON with tensors behind it; the first bytes are the header that says where."""
    length, body = data[:4], data[4:]
    call, _ = rest_wire.read_call(body, length.rstrip(b"\x00"), model="m", version="")
    for contract in CONTRACTS:
        check_inputs(contract, call.tensors)


def json_tensor(data: bytes) -> None:
    """One tensor in JSON."""
    provider = atheris.FuzzedDataProvider(data)
    datatype = DATATYPES[provider.ConsumeIntInRange(0, len(DATATYPES) - 1)]
    shape = [provider.ConsumeInt(8) for _ in range(provider.ConsumeIntInRange(0, 4))]
    values = rest_wire.read_object(b'{"data": ' + provider.ConsumeBytes(4096) + b"}")
    to_raw("a", datatype, shape=shape, data=values.get("data"))


def raw_elements(data: bytes) -> None:
    """BYTES in raw form: what is found whole can be split and put together again."""
    count = data[0] if data else 0
    ends = elements.element_ends(data[1:], count)
    if ends is not None:
        assert elements.join(elements.split(data[1:], ends)) == data[1:]


def job_document(data: bytes) -> None:
    """A request as jobs and clients write it."""
    oip_json.read_request(rest_wire.read_object(data), model="m")


TARGETS: tuple[Callable[[bytes], None], ...] = (
    grpc,
    grpc_answer,
    rest,
    rest_binary,
    json_tensor,
    raw_elements,
    job_document,
)


def one_input(data: bytes) -> None:
    """The first byte chooses the decoder."""
    if not data:
        return
    try:
        TARGETS[data[0] % len(TARGETS)](data[1:])
    except InvalidInput:
        return


def main() -> None:
    """Fuzz until libFuzzer's arguments say that it is enough."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
