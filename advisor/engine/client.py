"""Talk to the child's server: HTTP over a Unix socket or a loopback port, nothing else."""

import http.client
import json
import socket
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from advisor.errors import EngineError

_MAX_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """Where one request stands. Times in milliseconds, as the server measures them."""

    prompt_tokens: int
    prompt_ms: float
    made: int
    """Tokens generated so far."""
    made_ms: float
    token: int | None
    finished: bool


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """One server. Each call opens its own connection."""

    def __init__(self, address: str, api_key: str) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._address.startswith("unix://"):
            return _UnixConnection(self._address.removeprefix("unix://"), timeout)
        parts = urlsplit(self._address)
        if parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            message = (
                f"{self._address} is not on this computer; a probe only talks to its own child."
            )
            raise EngineError(message)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def ready(self, timeout: float = 1.0) -> bool:
        """Whether the model is loaded."""
        connection = self._connection(timeout)
        try:
            connection.request("GET", "/health", headers=self._headers)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def complete(
        self,
        prompt: Sequence[int],
        n_predict: int,
        *,
        choices: Sequence[int] = (),
        seed: int = 1,
        timeout: float = 120.0,
    ) -> Generator[Progress]:
        """Run one prompt and generate; yields at every batch and token. Close it to stop early.

        choices: tokens to sample from, all alike; empty: from the whole vocabulary. Raises
        EngineError when the connection breaks, the server refuses, or is silent for ``timeout``
        seconds.
        """
        body: dict[str, Any] = {
            "prompt": list(prompt),
            "n_predict": n_predict,
            "stream": True,
            "cache_prompt": False,
            "ignore_eos": True,
            "return_progress": True,
            "return_tokens": True,
            "timings_per_token": True,
            "seed": seed,
            # A ghost's logits mean nothing: choose among a few known tokens, evenly.
            "samplers": ["top_k", "temperature"],
            "top_k": len(choices) or 40,
            "temperature": 1000.0,
            "logit_bias": [[token, 1000.0] for token in choices],
        }
        connection = self._connection(timeout)
        try:
            connection.request("POST", "/completion", json.dumps(body), self._headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                reason = response.read(2000).decode("utf-8", "replace")
                message = f"llama.cpp refused the test prompt ({response.status})."
                raise EngineError(message, detail=reason)
            yield from _events(response)
        except TimeoutError as error:
            message = f"llama.cpp has not answered for {timeout:.0f} seconds."
            raise EngineError(message, detail="timeout") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = "The connection to llama.cpp broke off."
            raise EngineError(message, detail=repr(error)) from error
        finally:
            connection.close()


def _events(response: http.client.HTTPResponse) -> Generator[Progress]:
    while line := response.readline(_MAX_LINE):
        if line.startswith(b"error:"):
            message = "llama.cpp reported an error while generating."
            raise EngineError(message, detail=line[:2000].decode("utf-8", "replace"))
        if not line.startswith(b"data: {"):
            continue
        event: dict[str, Any] = json.loads(line[6:])
        if "error" in event:
            message = "llama.cpp reported an error while generating."
            raise EngineError(message, detail=str(event["error"])[:2000])
        timings: dict[str, Any] = event.get("timings") or {}
        finished = bool(event.get("stop"))
        tokens: list[int] = event.get("tokens") or []
        made = int(timings.get("predicted_n", 0))
        yield Progress(
            prompt_tokens=int(timings.get("prompt_n", 0)),
            prompt_ms=float(timings.get("prompt_ms", 0.0)),
            made=made,
            made_ms=float(timings.get("predicted_ms", 0.0)),
            token=tokens[0] if tokens and made and not finished else None,
            finished=finished,
        )
        if finished:
            return
    message = "The connection to llama.cpp broke off."
    raise EngineError(message, detail="the answer ended early")
