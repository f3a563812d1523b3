"""Client apps of Flower's for tests: `context.run_config` says what they do."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app, idle, old = ClientApp(), ClientApp(), ClientApp(lambda context: None)  # type: ignore[arg-type, return-value]
text = "no app"
calls: list[int] = []


@idle.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    return Message(message.content, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Adds something to every array; `told.json` in the folder has what it was told."""
    folder, config = Path(str(context.node_config["data"])), dict(message.content.config_records["config"])
    arrays: dict[str, Any] = {n: array.numpy() for n, array in message.content.array_records["arrays"].items()}
    metrics: dict[str, Any] = {"num-examples": len(np.load(folder / "sequences.npy")), "train_loss": 1.5}
    told = {"config": config, "shapes": {name: array.shape for name, array in arrays.items()}}
    (folder / "told.json").write_text(json.dumps(told))
    how, reply = str(context.run_config.get("how", "one")), Message
    first = next(iter(arrays))
    match how:
        case "one":
            arrays = {name: array + np.float32(1) for name, array in arrays.items()}
        case "draws":
            import torch

            drawn = random.random() + np.random.random() + float(torch.rand(1))  # noqa: NPY002
            arrays = {name: array + np.float32(drawn) for name, array in arrays.items()}
        case "counts":
            calls.append(1)
            past: dict[str, Any] = dict(context.state.metric_records.get("past", {"calls": 0}))
            before = past["calls"]
            context.state["past"] = MetricRecord({"calls": before + 1})
            context.state["last"] = ArrayRecord({"x": Array(np.full((2, 3), before + 0.5))})
            arrays = {name: array + np.float32(10 * before + len(calls)) for name, array in arrays.items()}
        case "untied":
            arrays["lm_head.weight"] = arrays["lm_head.weight"] + np.float32(1)
        case "one name of tied weights":
            arrays = {name: array + np.float32(1) for name, array in arrays.items() if name != "lm_head.weight"}
        case "float64":
            arrays = {name: array.astype(np.float64) + 1 for name, array in arrays.items()}
        case "missing":
            del arrays["transformer.ln_f.bias"]
        case "unknown":
            arrays["more"] = np.zeros(1, np.float32)
        case "shape":
            arrays["transformer.ln_f.bias"] = arrays["transformer.ln_f.bias"][:-1]
        case "integers":
            arrays["transformer.ln_f.bias"] = np.zeros_like(arrays["transformer.ln_f.bias"], np.int32)
        case "not finite":
            arrays["transformer.ln_f.bias"] = arrays["transformer.ln_f.bias"] + np.float32("inf")
        case "raises":
            raise ZeroDivisionError("by zero\nsecond line")
        case "exits":
            sys.exit("enough")
        case "memory":
            raise MemoryError("no room")
        case "answers with an error":
            return reply(Error(code=3, reason="no data"), reply_to=message)
        case "answers with nothing":
            return None  # type: ignore[return-value]
        case "no examples":
            del metrics["num-examples"]
        case "other examples":
            metrics["num-examples"] = 3
        case "loss":
            metrics["train_loss"] = float("nan")
        case "no loss":
            del metrics["train_loss"]
        case "two models":
            extra = {"more": ArrayRecord({first: Array(arrays[first])})}
            content = {"arrays": ArrayRecord({n: Array(a) for n, a in arrays.items()}), "m": MetricRecord(metrics)}
            return reply(RecordDict({**content, **extra}), reply_to=message)
    content = {"arrays": ArrayRecord({n: Array(a) for n, a in arrays.items()}), "metrics": MetricRecord(metrics)}
    return reply(RecordDict(content), reply_to=message)


same = app  # by another path
