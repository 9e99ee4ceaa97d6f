"""What was stored comes back as it was, or is refused with one reason."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer

from models.estimators import make_estimator
from models.model_folder import MANIFEST, Manifest, write_folder
from models.registry import STANDING, Registry, Standing
from models.training import Model
from models.trees import Trees
from models.trust import Untrusted, dump_estimator, load_estimator
from prevenant.errors import ConfigurationError, ModelRefused
from prevenant.target import ANOMALY, FAILURE, REMAINING_LIFE
from tests.models.made import made_model, small_trees

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 3))
Y = X[:, 0] + RNG.normal(size=60) / 10


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def boosted(slope: float = 1.0) -> Model:
    return made_model("compressor", small_trees(X, slope * Y))


def says(model: Model) -> Any:
    return model.estimator.predict(X)


def test_what_was_stored_comes_back(registry: Registry) -> None:
    stored, is_active = registry.save(boosted(), lambda card: f"report on version {card.version}")
    assert (stored.card.version, is_active) == (1, True)
    found = registry.load("compressor")
    assert found.card == stored.card
    assert np.array_equal(says(found), says(stored))
    assert registry.report("compressor").read_text() == "report on version 1"
    assert registry.names() == ["compressor"]


def test_only_the_first_version_speaks_by_itself(registry: Registry) -> None:
    assert [registry.save(boosted(slope))[1] for slope in (1.0, 2.0, 3.0)] == [True, False, False]
    assert registry.standing("compressor") == Standing(active=1, last=3)
    assert registry.find("compressor", "latest") == 3


def test_activate_shadow_and_roll_back(registry: Registry) -> None:
    for slope in (1.0, 2.0, 3.0):
        registry.save(boosted(slope))
    registry.shadow("compressor", 3)
    assert registry.find("compressor", "shadow") == 3
    assert registry.activate("compressor", 3) == Standing(3, None, (1,), 3)
    assert registry.activate("compressor", 2) == Standing(2, None, (1, 3), 3)
    assert registry.rollback("compressor").active == 3
    assert registry.rollback("compressor").active == 1
    with pytest.raises(ConfigurationError, match="no version of compressor was active before"):
        registry.rollback("compressor")
    with pytest.raises(ConfigurationError, match="shadow another one"):
        registry.shadow("compressor", 1)
    registry.shadow("compressor", 2)
    assert registry.shadow("compressor", None).shadow is None


def test_old_versions_leave_but_those_in_use_and_their_numbers(registry: Registry) -> None:
    for slope in range(1, 8):
        registry.save(boosted(slope))
    registry.activate("compressor", 2)
    registry.activate("compressor", 4)
    registry.shadow("compressor", 3)
    assert registry.retire("compressor", keep=2) == [1, 5]
    assert registry.versions("compressor") == [2, 3, 4, 6, 7]
    assert registry.retire("compressor", keep=1) == [6]
    assert registry.save(boosted())[0].card.version == 8
    assert registry.rollback("compressor").active == 2


def test_what_is_not_there_is_said_with_what_is(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="prevenant models train compressor"):
        registry.load("compressor")
    registry.save(boosted())
    with pytest.raises(ConfigurationError, match="has no version 4: there are 1"):
        registry.load("compressor", 4)
    with pytest.raises(ConfigurationError, match="did you mean 'compressor'"):
        registry.load("compresor")
    with pytest.raises(ConfigurationError, match="no version of compressor is shadow"):
        registry.load("compressor", "shadow")
    with pytest.raises(ConfigurationError, match="is no name of a model"):
        registry.load("../compressor")


@pytest.mark.parametrize("file", ["manifest.json", "card.json", "estimator.skops", "report.html"])
def test_a_damaged_version_is_refused_and_listed_with_the_reason(
    registry: Registry, file: str
) -> None:
    registry.save(boosted(), lambda _: "report")
    path = registry.folder / "compressor" / "v1" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match=f"is damaged: {file} is not what was written"):
        registry.load("compressor")
    (listed,) = registry.list_versions()
    assert listed.card is None
    assert "is damaged" in listed.refused
    path.unlink()
    with pytest.raises(ModelRefused, match=r"no model of Prevenant|is missing"):
        registry.load("compressor")


@settings(max_examples=40)
@given(data=st.data())
def test_whatever_happens_to_a_file_it_is_refused_or_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    registry = Registry(tmp_path_factory.mktemp("models"))
    stored, _ = registry.save(boosted(), lambda _: "<p>report</p>")
    files = sorted(one for one in (registry.folder / "compressor").rglob("*") if one.is_file())
    path = data.draw(st.sampled_from([one for one in files if one.name != ".lock"]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        what = data.draw(st.sampled_from(["flip", "cut", "insert", "empty"]))
        # A share, for the size of an estimator's file differs a little from one time to another.
        place = int(data.draw(st.floats(0, 1, exclude_max=True)) * len(content))
        if what == "flip" and content:
            content[place] ^= data.draw(st.integers(1, 255))
        elif what == "cut":
            del content[place:]
        elif what == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
        else:
            content.clear()
    path.write_bytes(content)
    registry.list_versions()
    try:
        found = registry.load("compressor", 1)
        assert np.array_equal(says(found), says(stored))
        registry.load("compressor", "active")
    except ConfigurationError as error:
        assert "\n" not in str(error)  # noqa: PT017  either of the two outcomes is right
    registry.save(boosted())
    registry.activate("compressor", 2)
    assert registry.find("compressor") == 2


def test_one_that_is_too_new_is_refused(registry: Registry) -> None:
    registry.save(boosted())
    path = registry.folder / "compressor" / "v1" / MANIFEST
    path.write_text(json.dumps({"format": 2, "something": "else"}))
    with pytest.raises(ModelRefused, match=r"made by a newer Prevenant \(format 2, here 1\)"):
        registry.load("compressor")


def test_one_that_was_put_there_by_hand_is_refused(registry: Registry) -> None:
    registry.save(boosted())
    model = registry.folder / "compressor"
    (model / "v1").rename(model / "v2")
    with pytest.raises(ModelRefused, match="holds version 1 of compressor"):
        registry.load("compressor", 2)
    (model / "v3").mkdir()
    with pytest.raises(ModelRefused, match="is no model of Prevenant"):
        registry.load("compressor", 3)


def resealed(folder: Path, **changes: Any) -> None:
    """Give a folder another manifest, as whoever knows the format could."""
    path = folder / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, **changes).sealed()))


def test_an_estimator_of_another_scikit_learn_is_refused_with_that_reason(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.save(boosted())
    resealed(registry.folder / "compressor" / "v1", scikit_learn="0.1")
    registry.load("compressor")  # where it can be read all the same, it is

    def incompatible(_: bytes) -> Any:
        raise AttributeError("'GradientBoostingRegressor' object has no attribute 'something_new'")

    monkeypatch.setattr("models.model_folder.load_estimator", incompatible)
    with pytest.raises(ModelRefused, match=r"made with scikit-learn 0\.1, and here is"):
        registry.load("compressor")


def test_a_damaged_standing_is_mended_by_activating(registry: Registry) -> None:
    registry.save(boosted())
    registry.save(boosted(2))
    (registry.folder / "compressor" / STANDING).write_text("{")
    with pytest.raises(ModelRefused, match="prevenant models activate compressor 2"):
        registry.load("compressor")
    assert registry.list_versions()[0].refused == ""
    registry.activate("compressor", 2)
    assert registry.find("compressor") == 2
    assert registry.save(boosted())[0].card.version == 3


def test_a_version_that_cannot_speak_is_not_activated(registry: Registry) -> None:
    registry.save(boosted())
    registry.save(boosted(2))
    (registry.folder / "compressor" / "v2" / "estimator.skops").write_bytes(b"")
    for act in (registry.activate, registry.shadow):
        with pytest.raises(ModelRefused):
            act("compressor", 2)
    assert registry.find("compressor") == 1


def test_what_was_left_by_a_kill_is_taken_away(registry: Registry) -> None:
    registry.save(boosted())
    left = registry.folder / "compressor" / ".x.partial"
    left.mkdir()
    (left / "card.json").write_text("{}")
    registry.save(boosted())
    assert not left.exists()
    assert registry.versions("compressor") == [1, 2]


def test_a_save_that_fails_leaves_nothing(registry: Registry) -> None:
    def fail(_: Any) -> str:
        raise OSError(28, "No space left on device", "report.html")

    with pytest.raises(OSError, match="No space left"):
        registry.save(boosted(), fail)
    assert registry.versions("compressor") == []
    assert [one.name for one in (registry.folder / "compressor").iterdir()] == [".lock"]
    assert registry.save(boosted())[0].card.version == 1


def save_some(folder: Path, count: int) -> list[int]:
    return [Registry(folder).save(boosted())[0].card.version for _ in range(count)]


def test_several_processes_never_take_one_number(registry: Registry) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        taken = pool.map(save_some, [registry.folder] * 2, [4] * 2)
        numbers = [number for one in taken for number in one]
    assert sorted(numbers) == list(range(1, 9))
    assert registry.standing("compressor") == Standing(active=1, last=8)


def test_a_reader_never_sees_half_of_anything(registry: Registry) -> None:
    registry.save(boosted())
    done, failures = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            try:
                registry.load("compressor")
                registry.list_versions()
            except Exception as error:  # noqa: BLE001  any is a failure of this test
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(12):
            stored, _ = registry.save(boosted())
            registry.activate("compressor", stored.card.version)
    finally:
        done.set()
        reader.join()
    assert failures == []


def test_an_exported_version_is_one_file_with_all_of_it(registry: Registry, tmp_path: Path) -> None:
    registry.save(boosted(), lambda _: "report")
    path = registry.export("compressor", "active", tmp_path)
    assert path == tmp_path / "compressor-v1.zip"
    first = path.read_bytes()
    assert registry.export("compressor", 1, tmp_path / "again.zip").read_bytes() == first
    with ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    assert names == {path.name for path in (registry.folder / "compressor" / "v1").iterdir()}


def test_an_exported_version_is_taken_by_another_engine(registry: Registry, tmp_path: Path) -> None:
    stored, _ = registry.save(boosted(), lambda _: "report")
    other = Registry(tmp_path / "other")
    other.save(boosted(2))
    model, is_active = other.take(registry.export("compressor", 1, tmp_path))
    assert (model.card.version, is_active) == (2, False)
    assert np.array_equal(says(other.load("compressor", 2)), says(stored))
    assert other.report("compressor", 2).read_text() == "report"


@given(data=st.data())
@settings(max_examples=30)
def test_a_file_that_is_no_export_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("exported")
    registry = Registry(folder / "models")
    stored, _ = registry.save(boosted())
    path = registry.export("compressor", 1, folder)
    content = bytearray(path.read_bytes())
    place = int(data.draw(st.floats(0, 1, exclude_max=True)) * len(content))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    try:
        model, _ = registry.take(path)
    except ModelRefused as error:
        assert "\n" not in str(error)  # noqa: PT017  either of the two outcomes is right
    else:
        assert np.array_equal(says(model), says(stored))


def test_a_detector_has_no_estimator(registry: Registry) -> None:
    registry.save(made_model("compressor", None, ANOMALY))
    assert registry.load("compressor").estimator is None


def read_itself(path: Any) -> Any:
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda: FunctionTransformer(read_itself),
        lambda: {"estimator": Path("/etc/passwd")},
        lambda: FunctionTransformer(np.load),
    ],
)
def test_what_is_no_estimator_of_ours_is_neither_stored_nor_read(make: Callable[[], Any]) -> None:
    with pytest.raises(Untrusted, match="no model of Prevenant is made of"):
        dump_estimator(make())


def test_a_model_that_cannot_be_stored_says_so(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strange(_: Any) -> bytes:
        raise Untrusted("it holds a lock, which no model of Prevenant is made of")

    monkeypatch.setattr("models.model_folder.dump_estimator", strange)
    with pytest.raises(
        ModelRefused, match="the model compressor cannot be stored: it holds a lock"
    ):
        registry.save(boosted())


UNASKED = {
    "a line": (LinearRegression().fit(X, Y), REMAINING_LIFE, "is no estimator of boosted trees"),
    "a function": (FunctionTransformer(read_itself), FAILURE, "is no estimator of boosted trees"),
    "untrained": (GradientBoostingRegressor(), REMAINING_LIFE, "is not fitted yet"),
    "nothing": (None, REMAINING_LIFE, "it has no estimator"),
    "large": (
        HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2).fit(X, Y),
        REMAINING_LIFE,
        "leaves, more than 8",
    ),
    "a chance for a life": (
        GradientBoostingClassifier(n_estimators=2).fit(X, Y > 0),
        REMAINING_LIFE,
        "says no remaining life",
    ),
    "a life for a chance": (small_trees(X, Y), FAILURE, "says no probability"),
    "three classes": (
        GradientBoostingClassifier(n_estimators=2).fit(X, np.digitize(Y, [-0.5, 0.5])),
        FAILURE,
        "tells 3 classes apart",
    ),
    "a detector's": (small_trees(X, Y), ANOMALY, "a detector learns in the stream"),
}


@pytest.mark.parametrize(("estimator", "kind", "told"), UNASKED.values(), ids=UNASKED)
def test_what_no_scorer_can_ask_is_neither_stored_nor_read(
    registry: Registry, estimator: Any, kind: str, told: str
) -> None:
    model = made_model("compressor", estimator, kind)
    with pytest.raises(ModelRefused, match=f"{told}.*; train it with `prevenant models train"):
        registry.save(model)
    assert registry.versions("compressor") == []
    if isinstance(estimator, FunctionTransformer):
        return  # which is not written at all
    folder = registry.folder / "compressor" / "v1"
    folder.mkdir(parents=True)
    write_folder(folder, "compressor", 1, model.card, estimator, "")
    for act in (registry.load, registry.activate, registry.shadow):
        with pytest.raises(ModelRefused, match=f"is refused: .*{told}.*; train it again"):
            act("compressor", 1)


def test_a_model_whose_features_are_not_those_of_its_trees_is_refused(registry: Registry) -> None:
    model = replace(boosted(), card=made_model("compressor", small_trees(X[:, :2], Y)).card)
    with pytest.raises(ModelRefused, match="wants 3 features, and its definition makes 2"):
        registry.save(model)


@pytest.mark.parametrize("kind", [REMAINING_LIFE, FAILURE])
@pytest.mark.parametrize("rows", [60, 200_000], ids=["few", "many"])
def test_what_is_trained_can_be_stored(kind: str, rows: int) -> None:
    estimator = make_estimator(kind, X.shape[1], rows, 0).fit(
        X, Y if kind == REMAINING_LIFE else Y > 0
    )
    again = load_estimator(dump_estimator(estimator))
    assert np.array_equal(Trees(again).ask(X), Trees(estimator).ask(X))


@pytest.mark.parametrize("column", ["left", "right", "feature_idx"])
def test_a_tree_that_leads_out_of_itself_is_never_followed(column: str) -> None:
    estimator = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5).fit(X, Y > 0)
    load_estimator(dump_estimator(estimator))
    estimator._predictors[1][0].nodes[column][0] = 60_000
    with pytest.raises(Untrusted, match="branches lead nowhere"):
        dump_estimator(estimator)


@pytest.mark.parametrize("column", ["children_left", "children_right", "feature"])
def test_a_forest_that_leads_back_is_never_followed(column: str) -> None:
    estimator = ExtraTreesRegressor(3, random_state=1).fit(X, Y)
    load_estimator(dump_estimator(estimator))
    getattr(estimator.estimators_[2].tree_, column)[1] = 0 if "children" in column else 3
    with pytest.raises(Untrusted, match="branches lead nowhere"):
        dump_estimator(estimator)
