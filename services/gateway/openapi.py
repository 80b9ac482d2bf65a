"""The OpenAPI description of /v2. Kept true by a test: the same paths as are served, and answers that fit."""

from typing import Any, Final

from fastapi import FastAPI

from services.gateway.domain.routing import CHOOSABLE

Schema = dict[str, Any]

_ERRORS: Final = {
    "400": "The request contradicts itself, its model or its spec; the text names tensor, feature and row.",
    "401": "No API key in force.",
    "404": "The model or version is not known.",
    "408": "The request did not arrive in time.",
    "413": "The body is larger than 4 MiB, also after decompression.",
    "415": "The body is compressed otherwise than by gzip or deflate.",
    "429": "A queue or the room for records is full; try again after Retry-After seconds.",
    "500": "The version failed.",
    "503": "No server holds the version now.",
    "504": "The time for the request ran out.",
}
_NAME: Final = {"type": "string", "maxLength": 1024}
_ANY_PARAMETERS: Final = {"type": "object", "description": "Further ones are ignored."}


def describe(app: FastAPI) -> None:
    """Add /v2 to what FastAPI says of its own routes at /openapi.json."""
    standard = app.openapi

    def merged() -> Schema:
        schema = standard()
        schema["paths"].update(_paths())
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(_schemas())
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }
        return schema

    app.openapi = merged  # type: ignore[method-assign]


def _paths() -> Schema:
    health = _operation("Whether the gateway can answer", "Ready", open_to_all=True, also=("503",))
    paths: Schema = {
        "/v2": {"get": _operation("Name, version and extensions of the server", "Server", open_to_all=True)},
        "/v2/health/live": {"get": _operation("Whether the process lives", "Live", open_to_all=True)},
        "/v2/health/ready": {"get": health},
        "/v2/repository/index": {"post": _index()},
        "/v2/repository/models/{model}/load": {"post": _unsupported()},
        "/v2/repository/models/{model}/unload": {"post": _unsupported()},
    }
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        paths[path] = {"get": _operation("Versions, inputs and outputs", "Model", errors=("401", "404"))}
        config = _operation("What Triton's tools ask", "ModelConfig", errors=("401", "404"))
        paths[f"{path}/config"] = {"get": config}
        ready = _operation("Whether a server holds it", "ModelReady", open_to_all=True, also=("503",))
        paths[f"{path}/ready"] = {"get": ready}
        paths[f"{path}/infer"] = {"post": _infer()}
    for path, item in paths.items():
        names = [word for word in ("model", "version") if f"{{{word}}}" in path]
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": _NAME} for name in names
        ]
    return paths


def _operation(
    summary: str,
    schema: str,
    *,
    open_to_all: bool = False,
    also: tuple[str, ...] = (),
    errors: tuple[str, ...] = (),
) -> Schema:
    """One that answers with `schema`, with other statuses `also`, and with errors."""
    responses = {status: _content("As told in the body", schema) for status in ("200", *also)}
    responses |= {status: _content(_ERRORS[status], "Error") for status in errors}
    security: list[Schema] = [] if open_to_all else [{"bearer": []}, {"key": []}]
    about = {"summary": summary, "tags": ["Open Inference Protocol"]}
    return {**about, "security": security, "responses": responses}


def _content(description: str, schema: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _index() -> Schema:
    operation = _operation("The caller's models and versions", "Index", errors=("400", "401", "413", "415"))
    schema = {"type": "object", "properties": {"ready": {"type": "boolean", "default": False}}}
    operation["requestBody"] = {"required": False, "content": {"application/json": {"schema": schema}}}
    return operation


def _unsupported() -> Schema:
    operation = _operation("Not supported: rollouts load and unload versions", "Error", errors=("401",))
    operation["responses"]["501"] = operation["responses"].pop("200")
    return operation


def _infer() -> Schema:
    operation = _operation("Predict", "InferResponse", errors=tuple(_ERRORS))
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Bytes of the JSON, where tensors follow it: the binary tensor data extension.",
        "schema": {"type": "integer", "minimum": 0},
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    json = {"schema": _ref("InferRequest")}
    prefer = {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async`: taken as a job; its answer is at the Location of the 202.",
        "schema": {"type": "string"},
    }
    arm = {
        "name": "slipway-arm",
        "in": "header",
        "description": "For testers: the arm that answers. What it answers proves nothing for a rollout.",
        "schema": {"enum": list(CHOOSABLE)},
    }
    operation["parameters"] = [length, prefer, arm]
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": json, "application/octet-stream": binary},
    }
    answer = operation["responses"]["200"]
    answer["content"]["application/octet-stream"] = binary
    answer["headers"] = {length["name"]: {"description": length["description"], "schema": length["schema"]}}
    waiting = {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}
    operation["responses"]["202"] = {"description": "Taken as a job; see GET /v1/jobs/{job_id}"}
    operation["responses"]["429"]["headers"] = {"Retry-After": waiting}
    return operation


def _object(required: tuple[str, ...] = (), **properties: Any) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


def _tensor(*required: str, **properties: Any) -> Schema:
    dimensions = {"type": "array", "items": {"type": "integer"}}
    return _object(
        ("name", "datatype", "shape", *required),
        name=_NAME,
        datatype={"type": "string", "examples": ["FP32", "BYTES"]},
        shape=dimensions,
        **properties,
    )


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _schemas() -> Schema:
    text, flag = {"type": "string"}, {"type": "boolean"}
    server = {"name": text, "version": text, "extensions": _array(text)}
    return {
        "Error": _object(("error",), error=text),
        "Live": _object(("live",), live=flag),
        "Ready": _object(("ready", "live"), ready=flag, live=flag),
        "ModelReady": _object(("name", "ready"), name=text, ready=flag),
        "Server": _object(tuple(server), **server),
        "Index": _array(_object(("name", "version", "state", "reason"), **_index_entry())),
        "Model": _object(
            ("name", "versions", "platform", "inputs", "outputs"),
            name=text,
            versions=_array(text),
            platform=text,
            inputs=_array(
                _tensor(parameters=_object(slipway_columns=text, slipway_max_rows={"type": "integer"}))
            ),
            outputs=_array(_tensor()),
        ),
        "ModelConfig": _config(),
        **_infer_schemas(),
    }


def _config() -> Schema:
    kind = {"enum": ["TYPE_FP32", "TYPE_STRING"]}
    dims = {"type": "array", "items": {"type": "integer"}, "description": "Without the rows"}
    tensor = _object(("name", "data_type", "dims"), name=_NAME, data_type=kind, dims=dims)
    rows = {"type": "integer", "description": "Rows of one request"}
    return _object(
        ("name", "platform", "max_batch_size", "input", "output"),
        name=_NAME,
        platform=_NAME,
        max_batch_size=rows,
        input=_array(tensor),
        output=_array(tensor),
    )


def _index_entry() -> Schema:
    text = {"type": "string"}
    return {"name": text, "version": text, "state": {"enum": ["READY", "UNAVAILABLE"]}, "reason": text}


def _infer_schemas() -> Schema:
    size = {"type": "integer", "minimum": 0, "description": "Bytes of this tensor behind the JSON"}
    data = _array({"description": "Flat or nested; null is a missing number"})
    flag = {"type": "boolean", "description": "Answer in bytes behind the JSON"}
    output = _object(("name",), name=_NAME, parameters=_object(binary_data=flag))
    parameters = _ANY_PARAMETERS | {
        "properties": {
            "slipway_unit": {**_NAME, "description": "What sticks to an arm of a rollout"},
            "slipway_key": {**_NAME, "description": "Your own key of the prediction, for feedback"},
            "timeout": {"type": "integer", "minimum": 0, "description": "Microseconds, 0 for none"},
            "priority": {"type": "integer", "minimum": 0, "description": "1 is the highest, 0 the default"},
            "binary_data_output": flag,
        }
    }
    answered = _object(
        ("slipway_prediction_id", "slipway_feedback_token", "slipway_arm", "slipway_route_epoch"),
        slipway_prediction_id={"type": "string", "description": "UUIDv7; names the prediction in feedback"},
        slipway_feedback_token={"type": "string"},
        slipway_arm={"type": "string"},
        slipway_route_epoch={"type": "integer"},
    )
    sized = _object(binary_data_size=size)
    return {
        "InferRequest": _object(
            ("inputs",),
            id=_NAME,
            parameters=parameters,
            inputs=_array(_tensor(data=data, parameters=sized)),
            outputs=_array(output),
        ),
        "InferResponse": _object(
            ("model_name", "model_version", "parameters", "outputs"),
            model_name={"type": "string"},
            model_version={"type": "string"},
            id=_NAME,
            parameters=answered,
            outputs=_array(_tensor(data=data, parameters=sized)),
        ),
    }
