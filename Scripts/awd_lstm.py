"""The language model of ULMFiT (an AWD-LSTM) with random weights, as fastai 0.7 and as fastai 1 and 2 save it."""

import torch


class AWDLSTM:
    """Embeddings, LSTMs one above the other, and a decoder tied to the embeddings; without the dropouts."""

    def __init__(self, vocabulary, size, hidden, layers, generator):
        self.size, self.hidden = size, hidden
        self.table = torch.randn(vocabulary, size, generator=generator) * 0.3
        self.bias = torch.randn(vocabulary, generator=generator) * 0.1
        self.layers = []
        for number in range(layers):
            layer = torch.nn.LSTM(
                size if number == 0 else hidden, size if number == layers - 1 else hidden, batch_first=True
            )
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
            self.layers.append(layer)

    def state(self, form, generator):
        """`form` is "0.7", "2", or "plain" for one without weight drop."""
        state = {"0.encoder.weight": self.table}
        if form != "plain":
            copy = "0.encoder_with_dropout.embed.weight" if form == "0.7" else "0.encoder_dp.emb.weight"
            state[copy] = self.table.clone()
        for number, layer in enumerate(self.layers):
            prefix = f"0.rnns.{number}."
            raw = {"0.7": "module.weight_hh_l0_raw", "2": "weight_hh_l0_raw", "plain": "module.weight_hh_l0"}[form]
            state[prefix + raw] = layer.weight_hh_l0.detach()
            if form == "2":
                # What a step of the training left: some of the weights dropped, the others grown.
                kept = torch.rand(layer.weight_hh_l0.shape, generator=generator) > 0.2
                state[prefix + "module.weight_hh_l0"] = layer.weight_hh_l0.detach() * kept / 0.8
            for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
                state[f"{prefix}module.{name}"] = getattr(layer, name).detach()
        state["1.decoder.weight"] = self.table
        if form != "0.7":  # its decoder had no bias
            state["1.decoder.bias"] = self.bias
        return state

    @torch.no_grad()
    def reference(self, ids, with_bias=True):
        """A fixture: hidden states and logits on `ids` [batch, sequence]."""
        x = self.table[ids]
        states = [x]
        for layer in self.layers:
            x = layer(x)[0]
            states.append(x)
        logits = x @ self.table.T + (self.bias if with_bias else 0)
        fixture = {f"hidden_states.{number}": state.numpy() for number, state in enumerate(states)}
        return {"input_ids": ids.numpy(), "logits": logits.numpy(), "last_hidden_state": x.numpy()} | fixture
