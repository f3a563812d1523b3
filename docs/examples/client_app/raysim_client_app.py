"""A Flower client app that trains an organization by SGD with momentum, at half the rate from round to round.

It reads the organization's packed sequences; `files.jsonl` beside them has the texts, for an app that packs by itself.
"""

from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from transformers import AutoConfig, AutoModelForCausalLM

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    config: dict[str, Any] = dict(message.content.config_records["config"])
    folder = str(context.node_config["data"])
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).train()
    model.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    sequences = torch.from_numpy(np.load(f"{folder}/sequences.npy").astype(np.int64))

    past: dict[str, Any] = dict(context.state.metric_records.get("past", {"rounds": 0}))
    context.state["past"] = MetricRecord({"rounds": past["rounds"] + 1})
    momentum = float(context.run_config.get("momentum", 0.9))
    optimizer = torch.optim.SGD(model.parameters(), config["lr"] / 2 ** past["rounds"], momentum)
    losses: list[float] = []
    for _ in range(config["local-epochs"]):
        losses = []
        for rows in torch.randperm(len(sequences)).split(config["batch-size"]):  # generators are seeded
            loss = model(input_ids=sequences[rows], labels=sequences[rows]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())

    metrics = {"num-examples": len(sequences), "train_loss": float(np.mean(losses))}
    content = {"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord(metrics)}
    return Message(RecordDict(content), reply_to=message)
