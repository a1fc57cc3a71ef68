"""Loading model functions: whose modules they and their imports find, and in which state."""

from __future__ import annotations

import pickle
import sys
import threading
from importlib import import_module

import pytest

from kerasgrid.errors import ChangedError, ModelError
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import parse_reference, source_digest
from kerasgrid.models.signature import signature_of


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Whatever is loaded, the user's own imports find what they found before."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    assert sys.path == path
    left = {name.partition(".")[0] for name in set(sys.modules) - modules}
    assert not left & {"blocks", "parts", "plain", "nets", "chain", "more", "models", "failing"}


def load(text, base):
    return load_function(parse_reference(text, base))


def test_load_file(write, tmp_path):
    write("parts_of_net.py", "WIDTH = 7")
    write("net.py", "from parts_of_net import WIDTH\ndef build(): return WIDTH")
    reference = parse_reference("net.py:build", tmp_path)
    path = list(sys.path)
    function = load_function(reference)
    assert function() == 7
    assert load_function(reference) is function
    assert sys.path == path
    write("net.py", "from parts_of_net import WIDTH\ndef build(): return WIDTH + 1")
    assert load_function(reference)() == 8
    assert not (tmp_path / "__pycache__" / f"net.{sys.implementation.cache_tag}.pyc").exists()


def test_load_two_files_of_one_name(write, tmp_path):
    write("a/net.py", "def build(): return 'a'")
    write("b/net.py", "def build(): return 'b'")
    functions = [load_function(parse_reference(f"{folder}/net.py:build", tmp_path)) for folder in "ab"]
    assert [function() for function in functions] == ["a", "b"]


def test_load_module(write, tmp_path):
    write("kg_loaded/__init__.py", "")
    write("kg_loaded/parts.py", "X = 3")
    write("kg_loaded/nets.py", "from .parts import X\ndef build(): return X")
    assert load_function(parse_reference("kg_loaded.nets:build", tmp_path))() == 3


def test_load_hyper_model(write, tmp_path):
    write(
        "hyper.py",
        """
        class HyperModel:
            pass
        class Net(HyperModel):
            def build(self, hp): return "built"
        net = Net()
        """,
    )
    for name in ("Net", "net"):
        function = load_function(parse_reference(f"hyper.py:{name}", tmp_path))
        assert function(None) == "built"
        assert signature_of(function).style == "hp"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\nimport no_such_thing\ndef build(): ...",
            "net.py:2: loading it failed: ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        (
            "def f():\n    raise ValueError('bad')\nf()\ndef build(): ...",
            "net.py:2: loading it failed: ValueError: bad",
        ),
        ("import sys\nsys.exit(3)\ndef build(): ...", "net.py:2: loading it failed: SystemExit: 3"),
        ("raise ValueError\ndef build(): ...", "net.py:1: loading it failed: ValueError: no message"),
        ("build = 3", "net.py: 'build' is 3, but must be a function that returns a new model each time "),
        (
            "class Model:\n    def count_params(self): ...\n    def __call__(self): ...\nbuild = Model()",
            "net.py: 'build' is a Model; give the function that builds and returns it: ",
        ),
        (
            "class Mean:\n    def get_config(self): ...\n    def __call__(self): ...\nbuild = Mean()",
            "net.py: 'build' is a Mean; give a function that builds and returns a model: ",
        ),
        (
            "if False:\n    def build(): ...\ndef bild(): ...",
            "net.py: there is no 'build' in it. Did you mean 'bild'?",
        ),
        ("import os\nos.nothing\ndef build(): ...", "net.py:2: loading it failed: AttributeError: "),
    ],
)
def test_messages_of_loading(text, message, write, tmp_path):
    write("net.py", text)
    reference = parse_reference("net.py:build", tmp_path)
    with pytest.raises(ModelError) as caught:
        load_function(reference)
    assert str(caught.value).startswith(message)


def test_syntax_error_after_parsing(write, tmp_path):
    write("net.py", "def build(): ...")
    reference = parse_reference("net.py:build", tmp_path)
    write("net.py", "x = 1\ny = = 2")
    with pytest.raises(ModelError, match=r"^net\.py:2: SyntaxError: "):
        load_function(reference)


IMPORTS = {
    "import": "import blocks\ndef build(): return blocks.X",
    "from": "from blocks import X\ndef build(): return X",
    "star": "from blocks import *\ndef build(): return X",
    "as": "import parts.deep as d\ndef build(): return d.X",
    "dotted": "import parts.deep\ndef build(): return parts.deep.X",
    "of a package": "from parts import deep\ndef build(): return deep.X",
    "plain folder": "from plain.one import X\ndef build(): return X",
    "relative": "from .blocks import X\ndef build(): return X",
    "relative module": "from . import blocks\ndef build(): return blocks.X",
    "package's own": "import parts\ndef build(): return parts.Y",
    "through another": "import chain\ndef build(): return chain.X()",
    "at the call": "def build():\n    from blocks import X\n    return X",
    "at the call, dotted": "def build():\n    import parts.deep\n    return parts.deep.X",
    "in a method": "class Net:\n    def __call__(self):\n        import blocks\n        return blocks.X\n"
    "build = Net()",
    "in a closure": "def outer():\n    def build():\n        import blocks\n        return blocks.X\n"
    "    return build\nbuild = outer()",
    "by name": "import importlib\ndef build(): return importlib.import_module('bl' + 'ocks').X",
    "by name, relative": "from importlib import import_module, util\n"
    "def build(): return import_module('.deep', 'parts' and __package__ + '.parts').X if util else 0",
    "__import__": "def build(): return __import__('blocks').X",
    "like Python's": "import colorsys\ndef build(): return colorsys.X",
    "like an installed one": "import yaml\ndef build(): return yaml.X",
    "round": "import round\nX = round.X\ndef build(): return X",
    "dataclass": "from __future__ import annotations\nimport blocks, dataclasses, typing\n"
    "@dataclasses.dataclass\nclass Sizes:\n    n: typing.ClassVar[int] = blocks.X\n"
    "def build(): return Sizes().n",
}


def write_folder(write, folder, text, x):
    write(f"{folder}/nets.py", text)
    for name in ("blocks", "parts/deep", "plain/one", "colorsys", "yaml"):
        write(f"{folder}/{name}.py", f"X = {x!r}")
    write(f"{folder}/parts/__init__.py", "from .deep import X as Y")
    write(f"{folder}/chain.py", "def X():\n    from parts import side\n    return side.X")
    write(f"{folder}/parts/side.py", "from . import deep\nimport blocks\nX = blocks.X\nassert X == deep.X")
    write(f"{folder}/round.py", f"import nets\nassert not hasattr(nets, 'X')\nX = {x!r}")


@pytest.mark.parametrize("reference", ["nets.py:build", "nets:build"])
@pytest.mark.parametrize("text", IMPORTS.values(), ids=IMPORTS)
def test_two_folders_have_modules_of_their_own(text, reference, write, tmp_path):
    """In any order, before and after an edit of what is imported, and after that is taken back."""
    for folder in "ab":
        write_folder(write, folder, text, folder)
    a, b = (load(reference, tmp_path / folder) for folder in "ab")
    assert (b(), a(), b()) == ("b", "a", "b")
    assert load(reference, tmp_path / "a") is a or "Net" in text
    write_folder(write, "a", text, "edited")
    edited = load(reference, tmp_path / "a")
    assert (edited(), a(), b()) == ("edited", "a", "b")
    write_folder(write, "a", text, "a")
    assert load(reference, tmp_path / "a")() == "a"


def test_what_is_not_called_until_after_an_edit_is_as_it_was_loaded(write, tmp_path):
    write("nets.py", IMPORTS["at the call"])
    write("blocks.py", "X = 1")
    reference = parse_reference("nets.py:build", tmp_path)
    digest = source_digest(reference)
    function = load_function(reference, digest)
    write("blocks.py", "X = 2")
    assert function() == 1
    assert load_function(reference, digest) is function
    with pytest.raises(ChangedError, match=r"^nets\.py:build: the source changed while"):
        load_function(reference, source_digest(reference)[::-1])
    assert load_function(reference, source_digest(reference))() == 2


def test_a_module_that_comes_or_goes_is_seen(write, tmp_path):
    write("nets.py", "try:\n    from more import X\nexcept ImportError:\n    X = 0\ndef build(): return X")
    assert load("nets.py:build", tmp_path)() == 0
    more = write("more.py", "X = 1")
    assert load("nets.py:build", tmp_path)() == 1
    more.unlink()
    assert load("nets.py:build", tmp_path)() == 0


def test_functions_of_one_folder_share_its_modules(write, tmp_path):
    write("blocks.py", "class Layer: ...")
    for name in ("nets", "hooks"):
        write(f"{name}.py", "from blocks import Layer\ndef build(): return Layer")
    assert load("nets.py:build", tmp_path)() is load("hooks:build", tmp_path)()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("my-net.py", "import blocks\ndef build(): return blocks.X"),
        ("net.v2.py", "import blocks\ndef build(): return blocks.X"),
        ("blocks/../nets.py", "import blocks\ndef build(): return blocks.X"),
        ("yaml.py", "import yaml, blocks\ndef build(): return blocks.X if hasattr(yaml, 'safe_load') else 0"),
        ("os.py", "import os, blocks\ndef build(): return blocks.X if os.sep else 0"),
        ("parts.py", "from parts.one import X\ndef build(): return X"),
        ("__init__.py", "from .blocks import X\ndef build(): return X"),
    ],
)
def test_files_of_any_name(name, text, write, tmp_path):
    write("blocks/__init__.py", "X = 7")
    write("parts/__init__.py", "")
    write("parts/one.py", "X = 7")
    write(name, text)
    assert load(f"{name}:build", tmp_path)() == 7


def test_a_file_finds_itself_by_its_package(write, tmp_path, monkeypatch):
    """Where the project's folder is on the path, or that of grid.yaml, `from models.blocks` leads back."""
    for folder, text in (
        ("models", "from models.blocks import X"),
        ("models/deep", "from models.deep.blocks import X"),
    ):
        write(f"{folder}/nets.py", f"{text}\ndef build(): return X")
        write(f"{folder}/blocks.py", "X = 1")
        monkeypatch.syspath_prepend(tmp_path)
        found = [load(f"{folder}/nets.py:build", tmp_path)(), load("nets.py:build", tmp_path / folder)()]
        write(f"{folder}/blocks.py", "X = 2")
        found += [load(f"{folder}/nets.py:build", tmp_path)(), load("nets.py:build", tmp_path / folder)()]
        assert found == [1, 1, 2, 2]
        sys.path.remove(str(tmp_path))


def test_what_is_not_beside_the_file_is_no_part_of_its_folder(write, tmp_path):
    write("nets.py", "from . import yaml\ndef build(): ...")
    with pytest.raises(
        ModelError, match=r"^nets\.py:1: loading it failed: ImportError: cannot import name 'yaml'"
    ):
        load("nets.py:build", tmp_path)
    write("nets.py", "import blocks\nX = blocks.build\ndef build(): ...")
    write("blocks.py", "")
    with pytest.raises(
        ModelError, match=r"^nets\.py:2: loading it failed: AttributeError: module 'blocks' has no"
    ):
        load("nets.py:build", tmp_path)


def test_what_a_package_has_outside_the_folder_is_everyone_s(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write("kg_around/__init__.py", "")
    write("kg_around/settings.py", "X = []")
    write("kg_around/models/blocks.py", "from kg_around.settings import X")
    text = "from kg_around.models.blocks import X\nfrom kg_around import settings\n"
    write("kg_around/models/nets.py", f"{text}def build(): return X, settings")
    found, settings = load("nets.py:build", tmp_path / "kg_around/models")()
    assert settings is import_module("kg_around.settings")
    assert found is settings.X


def test_a_folder_of_an_installed_package_s_name_is_no_module(write, tmp_path):
    write("nets.py", "import yaml\ndef build(): return hasattr(yaml, 'safe_load')")
    write("yaml/notes.txt", "")
    assert load("nets.py:build", tmp_path)()


def test_what_is_installed_below_the_folder_is_not_its_own(write, tmp_path, monkeypatch):
    write("nets.py", "import kg_installed\ndef build(): return kg_installed")
    folder = write(".venv/lib/site-packages/kg_installed.py", "X = 1").parent
    monkeypatch.syspath_prepend(folder)
    reference = parse_reference("nets.py:build", tmp_path)
    digest, found = source_digest(reference), load_function(reference)()
    assert found is import_module("kg_installed")
    write(".venv/lib/site-packages/kg_installed.py", "X = 2")
    assert source_digest(reference) == digest


def test_modules_in_threads(write, tmp_path):
    """Each folder's slow import is run once, and what another thread finds has all that it has at the end."""
    for folder in "ab":
        write(f"{folder}/nets.py", "import blocks\ndef build(): return blocks")
        write(f"{folder}/blocks.py", f"import time\ntime.sleep(0.05)\nX = {folder!r}")
    found = []
    threads = [
        threading.Thread(target=lambda at=at: found.append((at, load("nets.py:build", tmp_path / at)())))
        for at in "abab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((at, module.X) for at, module in found) == [(at, at) for at in "aabb"]
    assert len({id(module) for _, module in found}) == 2


def test_the_user_s_own_imports_stay(write, tmp_path, monkeypatch):
    write("nets.py", "from blocks import X\ndef build(): return X")
    write("blocks.py", "X = 1")
    other = write("other/kg_blocks.py", "X = 2").parent
    monkeypatch.syspath_prepend(other)
    monkeypatch.setitem(sys.modules, "blocks", import_module("kg_blocks"))
    assert load("nets.py:build", tmp_path)() == 1
    assert import_module("blocks").X == 2


def test_objects_of_a_folder_s_classes_are_pickled(write, tmp_path):
    write("nets.py", "from blocks import Layer\ndef build(): return Layer()")
    write("blocks.py", "class Layer: ...")
    made = load("nets.py:build", tmp_path)()
    assert type(pickle.loads(pickle.dumps(made))) is type(made)


@pytest.mark.parametrize(
    "text",
    [
        "from os import system as build",
        "from subprocess import *\nbuild = getoutput",
        "from subprocess import Popen as build",
        "build = eval",
        "build = {}.get",
        "import functools, os\nbuild = functools.partial(functools.partial(os.system), 'true')",
        "import pathlib\nbuild = pathlib.Path('x').unlink",
        "import operator\nbuild = operator.methodcaller('unlink')",
        "def __getattr__(name):\n    import os\n    return os.system",
    ],
)
def test_what_a_module_has_of_python_s_own_library_is_refused(text, write, tmp_path):
    write("nets.py", text)
    reference = parse_reference("nets.py:build", tmp_path)
    with pytest.raises(
        ModelError, match=r"^nets\.py: 'build' is \w+\.\S+ of Python's own library, of which a c"
    ):
        load_function(reference)


def test_functions_in_the_library_s_wrappers_are_the_user_s(write, tmp_path):
    write(
        "nets.py",
        """
        import functools, types
        def plain(n): return n
        part, cached = functools.partial(plain, 3), functools.lru_cache(plain)
        @functools.wraps(plain)
        def wrapped(*args): return plain(*args)
        """,
    )
    assert load("nets.py:part", tmp_path)() == 3
    assert [load(f"nets.py:{name}", tmp_path)(4) for name in ("cached", "wrapped")] == [4, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import parts.nope",
            "nets.py:1: ModuleNotFoundError: No module named 'parts.nope'",
        ),
        (
            "from parts import nope",
            "nets.py:1: ImportError: cannot import name 'nope' from 'parts'",
        ),
        ("import broken", "broken.py:2: SyntaxError: "),
        ("import failing", "nets.py:1: ValueError: no"),
        (
            "from .. import nets",
            "nets.py:1: ImportError: attempted relative import beyond",
        ),
    ],
)
def test_messages_of_imports(text, message, write, tmp_path):
    write("parts/__init__.py", "")
    write("broken.py", "x = 1\ny = = 2")
    write("failing.py", "raise ValueError('no')")
    write("nets.py", f"{text}\ndef build(): ...")
    reference = parse_reference("nets.py:build", tmp_path)
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            load_function(reference)
        told = str(caught.value).removeprefix(f"{tmp_path}/").replace("loading it failed: ", "")
        assert told.startswith(message)
    write("nets.py", "def build(): return 1")
    assert load_function(reference)() == 1


@pytest.mark.slow
def test_names_registered_with_keras_mean_the_folder_s_own_classes(write, tmp_path):
    import keras

    text = """
        import keras
        @keras.saving.register_keras_serializable()
        class Mine(keras.layers.Layer):
            X = {!r}
    """
    for folder in "ab":
        write(f"{folder}/nets.py", "import blocks\nshared = blocks.Mine()\ndef build(): return blocks.Mine()")
        write(f"{folder}/blocks.py", text.format(folder) + "    shared = Mine()")
    for folder in "abab":
        reference = parse_reference("nets.py:build", tmp_path / folder)
        layer = load_function(reference, source_digest(reference))()
        assert folder == keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).X
