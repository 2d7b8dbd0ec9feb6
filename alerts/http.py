"""Requests by httpx, with one deadline for all of each."""

from __future__ import annotations

import asyncio
import ssl

import httpx

from alerts.answers import Answer, Unanswered, retry_after_s
from alerts.channel import Request
from alerts.settings import ReceiverSettings

#: An answer is read so far; what it says beyond interests nobody.
ANSWER_BYTES_MAX = 4_096
#: Nothing of the request can have arrived.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


class HttpPoster:
    """The connection to one receiver. Not thread-safe.

    httpx limits each read and write, not their sum; asyncio's deadline ends a receiver that answers a byte
    at a time.
    """

    def __init__(self, settings: ReceiverSettings) -> None:
        """Opens nothing yet. Raises OSError (ssl.SSLError too) if the file of authorities is no good."""
        self._deadline_s = settings.deadline_s
        self._loop = asyncio.new_event_loop()
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.deadline_s, connect=settings.connect_timeout_s),
            verify=ssl.create_default_context(cafile=settings.ca_file),
            proxy=settings.proxy,
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "ByteTracker"},
        )

    def post(self, request: Request) -> Answer:
        """See Poster."""
        try:
            return self._loop.run_until_complete(asyncio.wait_for(self._post(request), self._deadline_s))
        except TimeoutError:
            raise Unanswered("DeadlineExceeded", maybe_heard=True) from None
        except _NOT_SENT as error:
            raise Unanswered(type(error).__name__, maybe_heard=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # Without the error itself: its text may hold the URL.
            raise Unanswered(type(error).__name__, maybe_heard=True) from None

    def close(self) -> None:
        """See Poster."""
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()

    async def _post(self, request: Request) -> Answer:
        async with self._client.stream(
            "POST", request.url, content=request.body, headers=dict(request.headers)
        ) as response:
            found = b""
            async for chunk in response.aiter_raw():
                found += chunk
                if len(found) >= ANSWER_BYTES_MAX:
                    break
            return Answer(
                response.status_code,
                retry_after_s(response.headers.get("Retry-After")),
                found[:ANSWER_BYTES_MAX].decode(errors="replace"),
            )
