"""The client commands against a real cluster, with real pixels and the real encoder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from deploy.cli.app import app
from deploy.demo.shoppers import Shopper, shoppers, strangers
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=2, port=free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """people/<name>/<n>.jpg of three shoppers, strangers/<name>_<n>.jpg of one."""
    root = tmp_path_factory.mktemp("photos")
    for shopper in shoppers(3, photos_each=3):
        save(root / "people" / shopper.name, "", shopper)
    (stranger,) = strangers(1)
    save(root / "strangers", f"{stranger.name}_", stranger)
    return root


def save(folder: Path, prefix: str, person: Shopper) -> None:
    folder.mkdir(parents=True)
    for n, jpeg in enumerate(person.photos, start=1):
        (folder / f"{prefix}{n}.jpg").write_bytes(jpeg)


def facegrid(cluster: LocalCluster, *arguments: str, code: int = 0) -> str:
    environment = {"FACEGRID_URL": cluster.url, "FACEGRID_KEY": cluster.key, "COLUMNS": "80"}
    done = CliRunner().invoke(app, list(arguments), env=environment)
    assert done.exit_code == code, done.output
    return done.output


def test_stores_are_added_listed_and_removed(cluster: LocalCluster) -> None:
    assert "created" in facegrid(cluster, "stores", "add", "graz", "--shard", "s2", "--timezone", "Europe/Vienna")
    listed = facegrid(cluster, "stores")
    assert all(word in listed for word in ("graz", "s2", "Europe/Vienna"))
    assert "was there" in facegrid(cluster, "stores", "add", "graz", "--group", "south")
    assert "deleted" in facegrid(cluster, "stores", "remove", "graz")
    assert "graz" not in facegrid(cluster, "stores")
    assert "UNKNOWN_STORE" in facegrid(cluster, "stores", "remove", "graz", code=1)


def test_shards_are_listed_with_their_state(cluster: LocalCluster) -> None:
    listed = facegrid(cluster, "shards")
    assert "s1/a" in listed
    assert listed.count("ready") == 2


def test_people_are_enrolled_once_found_and_drawn(cluster: LocalCluster, photos: Path, tmp_path: Path) -> None:
    people = photos / "people"
    (tmp_path / "blank_1.png").write_bytes(b"not a photo at all")
    arguments = ["enrol", "vienna", str(people), str(tmp_path / "blank_1.png"), "--first", "2", "--keep-thumbnails"]
    first = facegrid(cluster, *arguments)
    assert "Store vienna is new." in first
    assert "skipped blank_1.png: " in first
    assert "NOT_AN_IMAGE" in first
    again = facegrid(cluster, *arguments)
    assert "already there, left alone" in again
    assert "STORE_NOT_EMPTY" in facegrid(cluster, "stores", "remove", "vienna", code=1)

    picture = tmp_path / "out.png"
    probe = str(people / "shopper-01" / "3.jpg")
    answer = facegrid(cluster, "search", probe, "--store", "vienna", "--top-k", "2", "--picture", str(picture))
    assert answer.startswith("match")
    assert "shopper-01" in answer
    with Image.open(picture) as drawn:
        assert drawn.width > 600
    stranger = facegrid(cluster, "search", str(photos / "strangers" / "stranger-01_1.jpg"), "--store", "vienna")
    assert stranger.startswith("no_match")
    assert "the same person" in facegrid(cluster, "verify", probe, str(people / "shopper-01" / "1.jpg"))
    assert "not the same person" in facegrid(cluster, "verify", probe, str(people / "shopper-02" / "1.jpg"))
    assert "UNKNOWN_STORE" in facegrid(cluster, "search", probe, "--store", "nowhere", code=1)


def test_a_poor_photo_is_left_out_with_the_reason_unless_it_is_accepted(
    cluster: LocalCluster, photos: Path, tmp_path: Path
) -> None:
    good = photos / "people" / "shopper-01" / "1.jpg"
    (tmp_path / "ada_1.jpg").write_bytes(good.read_bytes())
    with Image.open(good) as image:
        image.point(lambda value: value * 0.15).save(tmp_path / "ada_2.png")
    first = facegrid(cluster, "enrol", "linz", str(tmp_path))
    assert "skipped ada_2.png: the photo is too poor to enrol: DARK" in first
    assert "--accept-poor" in first
    face = ("--store", "linz", "--face", "ada")
    assert "the same person" in facegrid(cluster, "verify", str(good), *face)
    second = facegrid(cluster, "enrol", "linz", str(tmp_path / "ada_2.png"), "--again", "--accept-poor")
    assert "skipped" not in second
    verified = facegrid(cluster, "verify", str(good), *face, "--fmr", "1e-8")
    assert "with a chance of 1e-08; so small a chance was never measured" in verified
    facegrid(cluster, "stores", "remove", "linz", "--force")


def test_evaluate_counts_and_leaves_the_stores_as_they_were(
    cluster: LocalCluster, photos: Path, tmp_path: Path
) -> None:
    before = facegrid(cluster, "stores")
    arguments = ["--strangers", str(photos / "strangers"), "--stores", "2", "--json", str(tmp_path / "figures.json")]
    arguments += ["--pictures", str(tmp_path / "pictures")]
    shown = facegrid(cluster, "evaluate", str(photos / "people"), *arguments)
    assert "6 (100.0%)" in shown
    results = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert [results[what]["true_matches"] for what in ("at another store", "at home")] == [6, 6]
    assert (results["strangers"]["probes"], results["strangers"]["rejected"]) == (1, 1)
    assert (results["at home"]["fnir"], results["strangers"]["fpir"]) == (0, 0)
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        f"top-k-{what}.png" for what in ("at-another-store", "at-home", "strangers")
    }
    assert facegrid(cluster, "stores") == before


def test_evaluate_searches_with_several_photos_of_one_person(cluster: LocalCluster, photos: Path) -> None:
    arguments = ["--stores", "2", "--probe", "2", "--strangers", str(photos / "strangers")]
    shown = facegrid(cluster, "evaluate", str(photos / "people"), *arguments)
    assert "3 people are enrolled with one photo each, split over 2 stores, and searched with 2 photos" in shown
    assert "3 (100.0%)" in shown


def test_evaluate_never_deletes_a_store_that_was_not_made_for_it(cluster: LocalCluster, photos: Path) -> None:
    facegrid(cluster, "stores", "add", "eval-1")
    assert "will not be deleted" in facegrid(cluster, "evaluate", str(photos / "people"), code=1)
    assert "eval-1" in facegrid(cluster, "stores")
    facegrid(cluster, "stores", "remove", "eval-1")


def test_a_member_is_put_bound_shown_unbound_and_deleted(cluster: LocalCluster, photos: Path) -> None:
    person = next(iter(sorted((photos / "people").iterdir())))
    facegrid(cluster, "enrol", "linz", str(photos / "people"), "--first", "1")
    assert "no member yet" in facegrid(cluster, "member", "list")
    put = ("member", "put", "c-1", "--name", "Ada [x]", "--attribute", "language=en=us")
    assert "is created" in facegrid(cluster, *put)
    assert "was there" in facegrid(cluster, *put, "--tier", "gold")
    assert f"Face {person.name} of store linz is member c-1's." in facegrid(
        cluster, "member", "bind", "c-1", "linz", person.name
    )
    shown = facegrid(cluster, "member", "show", "c-1")
    assert all(word in shown for word in ("Ada [x]", "gold", "en=us", "linz", person.name, "member"))
    assert "gold" in facegrid(cluster, "member", "list")
    assert "is a visitor now" in facegrid(cluster, "member", "unbind", "c-1", "linz", person.name)
    assert "No face is bound yet" in facegrid(cluster, "member", "show", "c-1")
    refused = facegrid(cluster, "member", "bind", "c-1", "linz", "nobody", code=1)
    assert "UNKNOWN_FACE" in refused
    assert "is deleted" in facegrid(cluster, "member", "delete", "c-1")
    assert "facegrid member list" in facegrid(cluster, "member", "delete", "c-1", code=1)
