"""What the Python examples share: the clock, the digest of parameters, and the line for `cargo xtask example`."""

import hashlib
import json
import time


class Clock:
    """Time of a step, and how much of it went into communication, the wait for slower ranks included."""

    def __init__(self):
        self.steps, self.communication, self.began, self.ended = 0, 0.0, None, None

    def start(self):
        self.began = time.perf_counter()

    def communicate(self, call, *arguments, **options):
        """Calls, and counts the time as communication."""
        began = time.perf_counter()
        try:
            return call(*arguments, **options)
        finally:
            self.communication += time.perf_counter() - began

    def step(self):
        self.steps += 1

    def stop(self):
        self.ended = time.perf_counter()

    def report(self, result, notes):
        """Prints the line that `cargo xtask example` reads."""

        def per_step_us(seconds):
            return round(seconds * 1e6 / max(self.steps, 1), 1)

        measured = {
            "steps": self.steps,
            "step_us": per_step_us(self.ended - self.began),
            "communication_us": per_step_us(self.communication),
            "result": result,
            "notes": notes,
        }
        print("measured: " + json.dumps(measured), flush=True)


def digest_of(state):
    """A digest of named tensors: equal if every bit of them is."""
    digest = hashlib.sha256()
    for name, values in sorted(state.items()):
        digest.update(name.encode() + values.detach().numpy().tobytes())
    return digest.hexdigest()[:16]
