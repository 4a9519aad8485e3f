"""`facegrid camera` as it is typed, against a gateway of the test's own; and the run it makes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from deploy.camera.agent import Agent
from deploy.camera.run import into, run
from deploy.camera.sender import Sender
from deploy.camera.source import Frame
from deploy.camera.spool import Spool
from deploy.cli.app import app
from deploy.client.sightings import SightingClient
from deploy.demo.shoppers import shoppers
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY
from tests.deploy.camera.made import NINE, Drawn, box, frames, sighting
from tests.deploy.camera.receiver import Answer, Received, Receiver, counted, problem
from tests.deploy.camera.videos import filmed
from tests.deploy.local.test_supervisor import until

START = "2026-11-20T09:00:00+01:00"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shoppers, and a photo of nobody."""
    folder = tmp_path_factory.mktemp("photos")
    for nth, shopper in enumerate(shoppers(2, photos_each=1)):
        (folder / f"{nth}.jpg").write_bytes(shopper.photos[0])
    (folder / "9.png").write_bytes(b"no photo")
    return folder


def facegrid(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["camera", *map(str, arguments)], env={"FACEGRID_URL": "", "FACEGRID_KEY": ""})
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def test_a_folder_is_sent_and_what_became_of_it_is_told(photos: Path, tmp_path: Path) -> None:
    with Receiver(lambda one: counted("counted", "rejected") if one.at[14:16] == "01" else None) as receiver:
        arguments = ["--folder", photos, "--start", START, "--camera", "door", "--url", receiver.url]
        output = facegrid("vienna", *arguments, "--spool", tmp_path / "spool")
        assert [(one.store, one.camera, one.at) for one in receiver.taken] == [
            ("vienna", "door", "2026-11-20T08:00:00.000+00:00"),
            ("vienna", "door", "2026-11-20T08:01:00.000+00:00"),
        ]
    assert "2 frames, 2 people; 2 sightings sent: 2 counted, 1 rejected." in output
    assert "NOT_AN_IMAGE" in output


def test_refused_sightings_are_counted_by_their_code_with_the_reason_and_it_ends_with_1(
    photos: Path, tmp_path: Path
) -> None:
    with Receiver(lambda _: problem(422, "INVALID_REQUEST", "at")) as receiver:
        arguments = ["--folder", photos, "--start", START, "--url", receiver.url, "--spool", tmp_path / "spool"]
        output = facegrid("vienna", *arguments, code=1)
    assert "INVALID_REQUEST: invalid_request." in output
    assert "2 refused (INVALID_REQUEST 2)" in output
    assert len(list((tmp_path / "spool" / "rejected").iterdir())) == 2


def test_each_camera_has_a_spool_of_its_own_by_default(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Receiver() as receiver:
        facegrid("vienna", "--folder", photos, "--start", START, "--camera", "door", "--url", receiver.url)
    assert (tmp_path / ".facegrid" / "spool" / "vienna" / "door" / "waiting").is_dir()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "Give one of"),
        (["--folder", "{photos}", "--video", "{video}"], "Give one of"),
        (["--folder", "{photos}", "--start", "noon"], "is no time such as"),
        (["--folder", "{photos}", "--every", "1"], "needs --start"),
        (["--folder", "{photos}", "--every", "0"], "0.02"),
        (["--folder", "nowhere"], "does not exist"),
        (["--rtsp", "camera.local"], "no URL such as"),
        (["--rtsp", "rtsp://"], "no URL such as"),
        (["--rtsp", "rtsp://user:secret@host:99999999/x", "--start", START], "taken now"),
        (["--folder", "{photos}", "--camera", "a b"], "letters, digits"),
        (["--folder", "{photos}", "--spool-limit", "1"], "10000000"),
    ],
)
def test_a_command_called_wrongly_says_why(arguments: list[str], why: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "v.avi").touch()
    filled = [one.replace("{photos}", str(photos)).replace("{video}", str(tmp_path / "v.avi")) for one in arguments]
    output = facegrid("vienna", *filled, code=2)
    assert why in re.sub(r" ?│ ?", " ", output).replace("  ", " ")
    assert "secret" not in output


def test_without_opencv_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "v.avi").touch()
    arguments = ["--url", f"http://127.0.0.1:{free_port()}", "--spool", tmp_path / "spool"]
    assert "pip install opencv-python-headless" in facegrid("vienna", "--video", tmp_path / "v.avi", *arguments, code=1)


def test_a_wrong_store_or_key_ends_it_and_keeps_the_sightings(photos: Path, tmp_path: Path) -> None:
    """The store went away after the start."""
    with Receiver(lambda _: problem(404, "UNKNOWN_STORE", "store")) as receiver:
        arguments = ["--folder", photos, "--start", START, "--url", receiver.url, "--spool", tmp_path / "spool"]
        output = facegrid("vienna", *arguments, code=1)
    assert "UNKNOWN_STORE" in output
    assert "kept in the spool" in output
    with Receiver() as receiver:
        facegrid("vienna", *arguments[:-3], receiver.url, *arguments[-2:])
        assert len(set(receiver.taken)) == 2  # what waited, and the folder once more: the same sightings


def test_ctrl_c_leaves_the_rest_in_the_spool_and_says_so_and_the_next_run_sends_it(
    photos: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    arguments = ["--folder", str(photos), "--start", START, "--spool", str(spool)]
    command = [sys.executable, "-m", "deploy.cli", "camera", "vienna", *arguments]
    away = ["--url", f"http://127.0.0.1:{free_port()}"]
    with subprocess.Popen([*command, *away], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as agent:
        until(lambda: len(list(spool.glob("waiting/*.msgpack"))) == 2, timeout_s=60)
        agent.send_signal(signal.SIGINT)
        output, _ = agent.communicate(timeout=60)
    assert agent.returncode == 1
    assert f"2 wait in {spool}; the same command sends them." in output
    assert "No gateway answers" in output
    assert "\x1b" not in output
    with Receiver() as receiver:
        facegrid("vienna", *arguments, "--url", receiver.url)
        assert {one.at[14:16] for one in receiver.taken} == {"00", "01"}
        assert len(set(receiver.taken)) == 2


def test_a_live_camera_runs_until_it_is_told_to_stop_and_ends_well(tmp_path: Path) -> None:
    """A video behind a small web server is as good as a camera to OpenCV."""
    film = filmed(tmp_path / "v.avi", [np.full((240, 320, 3), 90, dtype=np.uint8)] * 5, per_second=5)
    served = [sys.executable, "-m", "http.server", str(port := free_port()), "--bind", "127.0.0.1"]
    quiet = subprocess.DEVNULL
    with (
        Receiver() as receiver,
        subprocess.Popen([*served, "--directory", str(tmp_path)], stdout=quiet, stderr=quiet) as server,
    ):
        stream = ["--rtsp", f"http://127.0.0.1:{port}/{film.name}", "--spool", str(tmp_path / "spool")]
        command = [sys.executable, "-m", "deploy.cli", "camera", "vienna", *stream, "--url", receiver.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as agent:
            assert agent.stdout is not None
            heard = ""
            while "The camera answers." not in heard:
                line = agent.stdout.readline()
                assert line, heard
                heard += line
            agent.send_signal(signal.SIGTERM)
            output, _ = agent.communicate(timeout=60)
        server.kill()
    assert agent.returncode == 0
    assert "0 people; 0 sightings sent." in output


class Frames:
    """Frames that the test made; `ends` as asked."""

    def __init__(self, made: list[Frame], ends: bool) -> None:
        self.ends = ends
        self.closed = False
        self._made = made

    def frames(self) -> Iterator[Frame]:
        yield from self._made

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("ends", [True, False])
def test_photos_wait_for_room_in_the_spool_and_a_camera_drops_the_oldest(tmp_path: Path, ends: bool) -> None:
    """With a gateway that takes nothing until the test lets it."""
    let = threading.Event()
    lost: list[str] = []
    spool = Spool(tmp_path / "spool", 400_000, lost.append)
    spool.open()
    count = 12
    source = Frames(frames(count, 60_000), ends)

    def answer(_: Received) -> Answer | None:
        assert let.wait(30)
        return None

    with Receiver(answer) as receiver, SightingClient(receiver.url) as client:
        sender, stop = Sender(spool, client.post), threading.Event()
        agent = Agent("vienna", "door", Drawn([[box(0)]] * count), into(spool, patiently=ends, stop=stop))

        def show() -> None:
            if spool.full or agent.frames == count:
                let.set()

        run(source, agent, sender, stop, show)
        spool.close()
        assert source.closed
        times = [one.at for one in receiver.taken]
    if ends:
        assert len(times) == count
        assert (spool.dropped, lost) == (0, [])
    else:
        assert spool.dropped == len(lost) > 0
        assert len(times) + len(spool) + spool.dropped == count


def test_a_disk_that_is_full_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")
    spool.open()
    put = into(spool, patiently=False, stop=threading.Event())

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "put", full)
    with pytest.raises(Exception, match=r"cannot be written: No space left on device\.$"):
        put(sighting(1))
    spool.close()
    assert sighting(0).at_ms == NINE
