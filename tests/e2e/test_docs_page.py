"""The page at `/docs`, used as a person uses it: in a real browser, by mouse and by keyboard."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.e2e.browser import Page, executable, new_page
from tests.e2e.conftest import encoded
from tests.e2e.stack import Stack

CONTROLS = {"textbox", "combobox", "spinbutton", "button", "link"}
# What WCAG 2.2 asks of text, 1.4.3.
LEAST_CONTRAST = 4.5


@pytest_asyncio.fixture
async def page(stack: Stack) -> AsyncIterator[Page]:
    """The page, with the contract in it."""
    browser = executable()
    if browser is None:
        pytest.skip("no chromium or google-chrome on the PATH")
    async with new_page(browser) as opened:
        await opened.open(f"http://127.0.0.1:{stack.client.port}/docs")
        await opened.until("document.querySelectorAll('#routes details').length")
        yield opened


async def enter_key(page: Page, key: str) -> None:
    """Type a key where keys belong."""
    await page.click("#key")
    await page.type(key)


async def test_an_image_is_enlarged_and_shown(
    page: Page, stack: Stack, photo: bytes, tmp_path: Path
) -> None:
    """Key, file, one click: progress, then the picture; nothing from elsewhere, no complaint."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(photo)
    await enter_key(page, stack.fresh_key())
    await page.choose_file("#file", file)
    await page.click("#send")

    await page.until("!document.querySelector('#progress').hidden")
    assert await page.until("document.querySelector('#picture').naturalWidth") == 96
    await page.until("document.querySelector('#state').textContent.endsWith('succeeded')")
    assert await page.value("document.querySelector('#save').download") == "large.jpeg"
    assert await page.value("document.querySelector('#problem').textContent") == ""
    assert page.complaints == []
    home = f"127.0.0.1:{stack.client.port}"
    assert {it for it in page.requested if urlsplit(it).netloc != home} == {
        it for it in page.requested if it.startswith("blob:http://" + home)
    }


async def test_errors_can_be_read(page: Page, stack: Stack, tmp_path: Path) -> None:
    """Code, words, the fields and the id: without a key, with a wrong field, with no image."""
    text, gif = tmp_path / "notes.txt", tmp_path / "a.gif"
    text.write_text("not an image", "utf-8")
    gif.write_bytes(encoded("GIF"))
    await page.choose_file("#file", text)
    await page.click("#send")
    told = "document.querySelector('#problem').innerText"
    assert "Request " in await page.until(f"{told}.includes('UNAUTHENTICATED') && {told}")

    await enter_key(page, stack.fresh_key())
    await page.click("#send")
    await page.until(f"{told}.startsWith('INVALID_IMAGE: The file is not')")

    await page.choose_file("#file", gif)
    await page.click("#quality")
    await page.type("50")
    await page.click("#send")
    await page.until(f"{told}.startsWith('VALIDATION_ERROR')")
    await page.until(f"{told}.includes('quality: applies to jpeg and webp output only')")


async def test_a_used_up_limit_says_how_long_to_wait(page: Page, stack: Stack) -> None:
    """The limits are a table until there are none left."""
    await enter_key(page, stack.fresh_key("brief"))
    rows = "document.querySelector('#limit-rows').innerText"
    for left in (1, 0):
        await page.click("#ask-limits button")
        await page.until(f"{rows}.startsWith('per-2s\\t2\\t2\\t{left}')")
    await page.click("#ask-limits button")
    told = "document.querySelector('#limits-problem').innerText"
    await page.until(f"{told}.includes('RATE_LIMIT_EXCEEDED') && {told}.includes('Try again in')")


async def test_the_keyboard_is_enough(page: Page, stack: Stack) -> None:
    """Every control is reached by Tab in the order of the page, and Enter presses it."""
    await page.press("Tab")  # the link to the contract
    await page.press("Tab")
    await page.type(stack.fresh_key())
    reached = []
    focus = "document.activeElement.id || document.activeElement.innerText"
    while (now := await page.value(focus)) != "Show my limits":
        reached.append(now)
        await page.press("Tab")
    assert reached == ["key", "file", "scale", "format", "quality", "metadata", "send"]
    await page.press("Enter")
    assert "pro" in await page.until("document.querySelector('#tier').textContent")


async def test_every_control_has_a_name(page: Page) -> None:
    """Who hears the page hears what each field is for."""
    tree = await page.command("Accessibility.getFullAXTree")
    controls = [
        (node["role"]["value"], node["name"]["value"].strip())
        for node in tree["nodes"]
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]
    assert len(controls) > 8
    assert [role for role, name in controls if not name] == []
    assert ("textbox", "API key") in controls


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_follows_the_readers_light(page: Page, scheme: str) -> None:
    """Light or dark as the reader has it, and readable in both."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    await page.command("Emulation.setEmulatedMedia", features=[feature])
    paper = await brightness(page, "getComputedStyle(document.body).backgroundColor")
    assert (paper > 0.5) is (scheme == "light")
    for selector in ("body", ".note", ".problem", "a"):
        style = f"getComputedStyle(document.querySelector({selector!r})).color"
        ink = await brightness(page, style)
        contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert contrast > LEAST_CONTRAST, selector


async def brightness(page: Page, colour: str) -> float:
    """The relative luminance of a computed colour, as WCAG reckons it."""
    channels = [int(it) / 255 for it in await page.value(f"{colour}.match(/[0-9]+/g)")]
    linear = [it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


async def test_the_page_runs_nothing_that_is_put_into_it(page: Page, stack: Stack) -> None:
    """No inline script, no address outside, no form sent: the browser refuses."""
    elsewhere = f"http://127.0.0.1:{stack.scrape.port}/ready"
    await page.value(
        "(() => { const it = document.createElement('script'); it.textContent = 'window.ran = 1';"
        " document.body.append(it); })()"
    )
    assert await page.value("window.ran") is None
    refused = await page.value(f"fetch('{elsewhere}', {{mode: 'no-cors'}}).then(() => 0, () => 1)")
    assert refused == 1
    assert any("Content Security Policy" in it for it in page.complaints)
