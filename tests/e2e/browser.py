"""A browser without a window, driven over the DevTools protocol."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

_NAMES: Final = ("chromium", "google-chrome", "chromium-browser")
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_START_S: Final = 30.0
_STEP_S: Final = 20.0
Json = dict[str, Any]


def executable() -> str | None:
    """Where a browser is, if there is one."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """One page. What went wrong in it is kept: lines of its console, and what it asked for."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self._reader = asyncio.create_task(self._read())

    async def open(self, url: str) -> None:
        """Go there; what the page does next is for `until` to wait for."""
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            await self.command(f"{domain}.enable")
        await self.command("Page.navigate", url=url)

    async def command(self, method: str, **parameters: object) -> Json:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_STEP_S):
            reply = await future
        assert "error" not in reply, (method, reply["error"])
        result: Json = reply["result"]
        return result

    async def value(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page says
        """What a JavaScript expression comes to."""
        answer = await self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page says
        """The expression's value, once it is something."""
        async with asyncio.timeout(_STEP_S):
            while True:
                if value := await self.value(expression):
                    return value
                await asyncio.sleep(0.02)

    async def click(self, selector: str) -> None:
        """Press the left button of the mouse on the middle of an element."""
        place = await self.value(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
            " it.scrollIntoView({block: 'center'}); const box = it.getBoundingClientRect();"
            " return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.command(
                "Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place
            )

    async def press(self, key: str) -> None:
        """A key of the keyboard, by its name in the DOM."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    async def type(self, text: str) -> None:
        """Enter a text where the focus is."""
        await self.command("Input.insertText", text=text)

    async def choose_file(self, selector: str, file: Path) -> None:
        """Put a file into a form."""
        root = await self.command("DOM.getDocument")
        found = await self.command(
            "DOM.querySelector", nodeId=root["root"]["nodeId"], selector=selector
        )
        await self.command("DOM.setFileInputFiles", files=[str(file)], nodeId=found["nodeId"])

    async def close(self) -> None:
        """Stop listening."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    def _note(self, entry: Json) -> None:
        if entry["level"] != "verbose":  # advice, such as how to have passwords saved
            self.complaints.append(str(entry))

    async def _read(self) -> None:
        notes: dict[str, Callable[[Json], None]] = {
            "Log.entryAdded": lambda it: self._note(it["entry"]),
            "Runtime.exceptionThrown": lambda it: self.complaints.append(str(it)),
            "Runtime.consoleAPICalled": lambda it: self.complaints.append(str(it["args"])),
            "Network.requestWillBeSent": lambda it: self.requested.append(it["request"]["url"]),
        }
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            elif told["method"] in notes:
                notes[told["method"]](told["params"])


@asynccontextmanager
async def new_page(browser: str) -> AsyncIterator[Page]:
    """A page of a browser of its own, which ends with it."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            browser,
            *_FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with ClientSession(f"http://127.0.0.1:{port}") as session:
                async with session.get("/json/list") as answer:
                    targets = await answer.json()
                (target,) = [it for it in targets if it["type"] == "page"]
                address = target["webSocketDebuggerUrl"]
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    page = Page(socket)
                    try:
                        yield page
                    finally:
                        await page.close()
        finally:
            process.terminate()
            await process.wait()


async def _port(file: Path) -> int:
    """Where the browser listens, once it has said so."""
    async with asyncio.timeout(_START_S):
        while True:
            if lines := _lines(file):
                return int(lines[0])
            await asyncio.sleep(0.05)


def _lines(file: Path) -> list[str]:
    return file.read_text("ascii").split() if file.exists() else []
