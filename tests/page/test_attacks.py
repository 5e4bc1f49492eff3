"""The page server serves only its own page, and no text from a user, a tape or a file is executed as a script."""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from botkit.page.access import HEADER
from botkit.page.front import page_html
from tests.page.pages import PageBrowser, Started, run_bot, write_bot

HOSTILE = (
    "</script><script>window.owned=1;document.title='owned'</script>"
    "<img src=x onerror=\"window.owned=1;document.title='owned'\">"
    '<svg onload="window.owned=1"></svg>${window.owned=1}javascript:window.owned=1'
)


def asked(address: str, path: str = "/", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """Send a request with exactly the given headers, including Host."""
    port = urlsplit(address).port
    assert port is not None
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in ({"Host": f"127.0.0.1:{port}", "Content-Length": "2"} | headers).items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(b"{}")
        response = connection.getresponse()
        response.body = response.read().decode()  # type: ignore[attr-defined]
        return response
    finally:
        connection.close()


def token_of(address: str) -> str:
    return urlsplit(address).fragment.removeprefix("token=")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
@pytest.mark.parametrize("path", ["/", "/live", "/report/x"])
def test_a_request_with_a_foreign_host_header_is_refused(address: str, host: str, path: str) -> None:
    response = asked(address, path, Host=host.format(port=urlsplit(address).port))
    assert response.status == 421
    assert "botkit" not in response.body  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "null"},
        {"Origin": "file://"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/live"), ("POST", "/command"), ("POST", "/ticket"), ("GET", "/")]
)
def test_a_request_from_another_page_is_refused_even_with_the_token(
    address: str, headers: dict[str, str], method: str, path: str
) -> None:
    filled = {name: value.format(port=urlsplit(address).port) for name, value in headers.items()}
    response = asked(address, path, method, **filled, **{HEADER: token_of(address)})
    assert response.status == 403


@pytest.mark.parametrize("token", [None, "", "x", "é", "wrong" * 20])
@pytest.mark.parametrize("path", ["/command", "/ticket"])
def test_a_request_without_the_token_is_refused(address: str, token: str | None, path: str) -> None:
    headers = {} if token is None else {HEADER: token.encode().decode("latin-1")}
    assert asked(address, path, "POST", **headers).status == 403


def test_without_a_token_only_the_empty_page_is_served(address: str) -> None:
    response = asked(address)
    assert response.status == 200
    page: str = response.body  # type: ignore[attr-defined]
    assert page == page_html(), "it is the same for everybody"
    assert token_of(address) not in page
    for path in ("/report/x", "/status", "/live/", "/../", "/%2e%2e/", "/command"):
        assert asked(address, path).status in (404, 405)


def test_every_response_has_security_headers_and_allows_no_other_origin(address: str) -> None:
    answers = [asked(address), asked(address, "/report/x"), asked(address, Host="evil"), asked(address, Origin="null")]
    for response in answers:
        headers = response.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.lower().startswith("access-control")]
    policy = answers[0].headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("first", [None, "{}", '{"token": ""}', '{"token": "wrong"}', '{"token": 5}', "[" * 9_000, "x"])
async def test_a_connection_without_the_right_token_is_closed_without_data(address: str, first: str | None) -> None:
    host = urlsplit(address).netloc
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{host}/live", origin=f"http://{host}") as socket,
    ):
        if first is None:
            await socket.send_bytes(b"\x00")
        else:
            await socket.send_str(first)
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1008


async def test_a_connection_without_an_origin_header_is_refused(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(f"http://{urlsplit(address).netloc}/live")


# -- in a browser -----------------------------------------------------------------------------------------------------


class Elsewhere:
    """Another site on this machine that records the requests it receives."""

    def __init__(self, page: str = "") -> None:
        self.asked: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                content = page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


ATTEMPTS = """
<!doctype html><title>elsewhere</title><script>
const page = "HOST", token = "TOKEN", found = {};
const note = (name, promise) => promise.then((v) => { found[name] = "got " + v; }, () => { found[name] = "refused"; });
const heard = (url) => new Promise((done, fail) => {
  const socket = new WebSocket(url);
  socket.onopen = () => socket.send(JSON.stringify({ token }));
  socket.onmessage = (event) => done(event.data);
  socket.onclose = socket.onerror = fail;
});
const framed = () => new Promise((done, fail) => {
  const frame = document.createElement("iframe");
  frame.src = "http://" + page + "/";
  frame.onload = () => { try { done(frame.contentDocument.body.innerHTML); } catch { fail(); } };
  document.body.append(frame);
});
addEventListener("load", () => Promise.all([
  note("socket", heard("ws://" + page + "/live")),
  note("read", fetch("http://" + page + "/").then((r) => r.text())),
  note("command", fetch("http://" + page + "/command", {
    method: "POST", headers: { "X-Botkit-Token": token }, body: "{}",
  }).then((r) => r.text())),
  note("simple", fetch("http://" + page + "/command", { method: "POST", mode: "no-cors", body: "{}" }).then((r) => {
    if (r.type !== "opaque") return r.text();
    throw 0;
  })),
  note("frame", framed()),
]).then(() => { document.title = JSON.stringify(found); }));
</script>
"""


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_served_from_another_port_cannot_access_the_server(
    browser: PageBrowser, address: str, name: str
) -> None:
    page = ATTEMPTS.replace("HOST", urlsplit(address).netloc).replace("TOKEN", token_of(address))
    with Elsewhere(page) as site:
        browser.visit(f"http://{name}:{site.port}/", ready=False)
        browser.until("document.title.startsWith('{')")
        found = json.loads(browser.run("document.title"))
        browser.visit("about:blank#", ready=False)
    assert found == dict.fromkeys(("socket", "read", "command", "simple", "frame"), "refused")


def hostile(value: Any) -> Any:
    """Insert a script into every text value of a document."""
    if isinstance(value, str):
        return HOSTILE + value
    if isinstance(value, list):
        return [hostile(item) for item in value]
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    return value


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a page whose bot has a script in every text that an attacker could control."""
    state = tmp_path_factory.mktemp("forged") / "state"
    config = write_bot(state.parent)
    with run_bot(state, [config], "--duration", "6s") as started:
        started.line("stopping")
    folder = state / "shown" / "emulator" / "inside"
    page = json.loads((folder / "page.json").read_text())
    kept = {"decimals": page["decimals"], "minutes": page["minutes"]}
    page = hostile(page) | kept
    status = page["status"]
    status["timezone"], status["ended"] = "Asia/Taipei", ""
    for row in status["strategies"].values():
        row["skips"] = {HOSTILE: 3}
        row["active"] = False
    status["strategies"] = {HOSTILE + name: row for name, row in status["strategies"].items()}
    status["balances"] = {HOSTILE: {"total": "1", "unassigned": "1"}}
    (folder / "page.json").write_text(json.dumps(page))
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "halt.json").write_text(json.dumps({"kind": HOSTILE, "reason": HOSTILE, "time": 1}))
    [run] = (folder / "runs").iterdir()
    with (run / "messages.jsonl").open("a") as file:
        file.write(json.dumps({"t": 1, "level": HOSTILE, "text": HOSTILE}) + "\n")
    # a folder name may contain any character except a slash
    shutil.copytree(folder, state / HOSTILE.replace("/", "")[:200] / "emulator" / "inside")
    with Started(state, "page", "--page-port", "0") as server:
        yield server.line("page at ")


def test_no_text_is_executed_as_a_script(browser: PageBrowser, forged: str) -> None:
    browser.visit(forged)
    bots = browser.run("document.querySelectorAll('#bots button').length")
    assert bots == 2
    for number in range(bots):
        browser.click(f"document.querySelectorAll('#bots button')[{number}]")
        browser.wait_for_text("#why", "onerror")
        browser.wait_for_text("#events", "onerror")
        browser.wait_for_text("#alerts", "onerror")
        browser.wait_for_text("#parameters", "onerror")
        browser.settle()
        assert browser.run("window.owned") is None
        assert browser.run("document.title") != "owned"
        made = "img, script, svg:not(.chart svg)"
        assert browser.run(f"document.querySelectorAll('main :is({made})').length") == 0
    assert browser.console == []


EVIL_REPORT = """
<!doctype html><title>report</title><body><p>a report</p><script>
const found = {}, page = "HOST", elsewhere = "http://127.0.0.1:PORT";
const tries = (name, act) => { try { found[name] = "got " + act(); } catch { found[name] = "refused"; } };
const note = (name, promise) => promise.then((v) => { found[name] = "got " + v; }, () => { found[name] = "refused"; });
const heard = (url) => new Promise((done, fail) => {
  const socket = new WebSocket(url);
  socket.onopen = () => done("open");
  socket.onclose = socket.onerror = fail;
});
tries("parent", () => parent.document.body.innerHTML);
tries("storage", () => sessionStorage.length);
tries("cookie", () => (document.cookie = "a=b") && document.cookie);
tries("top", () => { top.location.href = elsewhere + "/top"; });
tries("popup", () => window.open(elsewhere + "/popup").closed);
const image = new Image(); image.src = elsewhere + "/image";
const link = document.createElement("link");
link.rel = "stylesheet"; link.href = elsewhere + "/style"; document.head.append(link);
const form = document.createElement("form"); form.action = elsewhere + "/form"; document.body.append(form);
try { form.submit(); } catch {}
Promise.all([
  note("page", fetch("http://" + page + "/").then((r) => r.text())),
  note("command", fetch("http://" + page + "/command", { method: "POST", mode: "no-cors", body: "{}" })),
  note("socket", heard("ws://" + page + "/live")),
  note("elsewhere", fetch(elsewhere + "/fetch", { mode: "no-cors" })),
]).then(() => { parent.postMessage(JSON.stringify(found), "*"); location.href = elsewhere + "/itself"; });
</script>
"""


def test_a_hostile_report_cannot_escape_its_sandbox(browser: PageBrowser, tmp_path: Path) -> None:
    state, out = tmp_path / "state", tmp_path / "out"
    with Elsewhere("elsewhere") as site, Started(state, "page", "--page-port", "0") as server:
        address = server.line("page at ")
        run = out / "evil" / "1"
        run.mkdir(parents=True)
        (run / "summary.json").write_text(json.dumps({"journal_sha256": "x", "name": HOSTILE, "return": 0.1}))
        report = EVIL_REPORT.replace("HOST", urlsplit(address).netloc).replace("PORT", str(site.port))
        (run / "report.html").write_text(report)
        secret = tmp_path / "secret.html"
        secret.write_text("a secret")
        (out / "evil" / "2").mkdir()
        (out / "evil" / "2" / "summary.json").write_text(json.dumps({"journal_sha256": "x", "name": "linked"}))
        (out / "evil" / "2" / "report.html").symlink_to(secret)
        browser.visit(address, ready=False)
        browser.until("document.querySelector('#runs tbody button') !== null")
        assert browser.texts("#runs tbody th") == ["evil/1"], "a link to elsewhere is no report"
        browser.run("addEventListener('message', (event) => { window.told = event.data; })")
        browser.click("document.querySelector('#runs tbody button')")
        browser.until("window.told !== undefined")
        found = json.loads(browser.run("window.told"))
        browser.settle()
        assert browser.run("location.pathname") == "/"
        assert browser.run("document.title") == "botkit"
        assert found.pop("top", "refused") == "refused"
        assert found.pop("popup", "refused") == "refused"
        assert set(found.values()) == {"refused"}, found
        assert set(found) == {"parent", "storage", "cookie", "page", "command", "socket", "elsewhere"}
        # the page's content security policy blocks navigation of the frame
        browser.until("document.querySelector('#report iframe') !== null")
        assert site.asked == []


def test_a_ticket_grants_access_to_its_report_only_once(address: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "demo" / "1"
    out.mkdir(parents=True)
    (out / "summary.json").write_text(json.dumps({"journal_sha256": "x", "name": "demo"}))
    (out / "report.html").write_text("<p>a report")
    with Started(tmp_path / "state", "page", "--page-port", "0") as server:
        own = server.line("page at ")
        port = urlsplit(own).port
        assert port is not None
        connection = http.client.HTTPConnection("127.0.0.1", port)
        body = json.dumps({"run": "demo/1"})
        headers = {HEADER: token_of(own), "Content-Type": "application/json"}
        connection.request("POST", "/ticket", body, headers)
        ticket = json.loads(connection.getresponse().read())["ticket"]
        connection.close()
        first = asked(own, f"/report/{ticket}")
        assert first.status == 200
        assert first.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")
        assert asked(own, f"/report/{ticket}").status == 404
        assert asked(own, "/report/" + "x" * 43).status == 404
        connection.request("POST", "/ticket", json.dumps({"run": "../demo/1"}), headers)
        assert connection.getresponse().status == 404
        connection.close()
