"""Model functions found, read, hashed and loaded, without Keras."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kerasgrid.errors import ModelError
from kerasgrid.models.loading import load_function
from kerasgrid.models.references import BUILT_IN, parse_reference, source_digest, sources_of
from kerasgrid.models.signature import Parameter, Signature, read_signature, signature_of
from kerasgrid.models.source import function_digest
from kerasgrid.records import Target

NETS = '''
"""Some nets."""
import does_not_exist_anywhere

FACTOR = 2

def build(input_shape, n_classes, units=(64, 32), *, rate: float = 0.5, scale=FACTOR * 2, name):
    """A net."""

def flexible(n_classes, **options):
    pass

def tuned(hp, extra=1):
    pass

def not_tuned(hp, depth):
    pass

def bare():
    pass

def by_position(input_shape, /, n_classes):
    pass

@does_not_exist_anywhere.wrap
def decorated(input_shape):
    pass

class Net(HyperModel):
    pass

assigned = build

if FACTOR:
    def either(a): ...
else:
    def either(b): ...

try:
    from fast import guarded
except ImportError:
    def guarded(a): ...

def again(a): ...
def again(b): ...

for looped in []: ...
with open("x") as opened: ...
(first, *rest) = 1, 2
'''


@pytest.fixture
def nets(write):
    return write("nets.py", NETS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in(name, tmp_path):
    reference = parse_reference(name, tmp_path)
    assert (reference.kind, reference.function, str(reference)) == ("built_in", name, name)
    signature = read_signature(reference)
    of_tables = ("n_categories",) if name == "mlp" else ()
    assert signature.given == ("input_shape", "n_classes", "n_outputs", "multi_label", *of_tables)
    assert not signature.needs_classes
    assert signature.required == ()
    assert {"dropout", "activation", "kernel_initializer", "normalization"} <= set(signature.names)
    assert not signature.takes_any
    assert len(source_digest(reference)) == 64


def test_fc_defaults(tmp_path):
    signature = read_signature(parse_reference("fc", tmp_path))
    shown = {parameter.name: parameter.default for parameter in signature.parameters}
    assert shown["units"] == "(64, 128, 256)"
    assert shown["activation"] == "'relu'"
    assert shown["batch_norm"] == "True"


def test_file(nets, tmp_path):
    for text in ("nets.py:build", f"{nets}:build", "./nets.py:build"):
        reference = parse_reference(text, tmp_path)
        assert (reference.kind, reference.module, reference.function) == ("file", None, "build")
        assert reference.file.resolve() == nets.resolve()
        assert pickle.loads(pickle.dumps(reference)) == reference


def test_module_is_found_without_importing_its_parents(write, tmp_path):
    write("kg_probe/__init__.py", "raise RuntimeError('imported')")
    write("kg_probe/deep/__init__.py", "raise RuntimeError('imported')")
    file = write("kg_probe/deep/nets.py", "def build(input_shape, n_classes, width=3): ...")
    reference = parse_reference("kg_probe.deep.nets:build", tmp_path)
    assert (reference.kind, reference.module, reference.file) == ("module", "kg_probe.deep.nets", file)
    assert read_signature(reference).names == ("width",)
    assert "kg_probe" not in sys.modules


def test_module_of_a_namespace_package(write, tmp_path):
    write("kg_space/nets.py", "def build(input_shape): ...")
    assert read_signature(parse_reference("kg_space.nets:build", tmp_path)).given == ("input_shape",)


def test_a_folder_of_python_s_own_library_is_none_of_a_config(tmp_path):
    base = Path("/", LIBRARY)
    for text in ("subprocess:getoutput", "subprocess.py:getoutput", "json.decoder:scanstring"):
        with pytest.raises(ModelError, match="is of Python's own library, of which a config runs nothing"):
            parse_reference(text, base)
    (tmp_path / "python").symlink_to(base)
    with pytest.raises(ModelError, match="is of Python's own library"):
        parse_reference("python/subprocess.py:getoutput", tmp_path)


def test_a_module_called_as_python_s_own_is_the_user_s(write, tmp_path):
    write("subprocess.py", "def build(input_shape, width=3): ...")
    reference = parse_reference("subprocess:build", tmp_path)
    assert read_signature(reference).names == ("width",)
    assert reference.folder == tmp_path


def test_whose_code_is_run(write, tmp_path, monkeypatch):
    write("base/nets.py", "def build(): ...")
    write("other/kg_other/nets.py", "def build(): ...")
    monkeypatch.syspath_prepend(tmp_path / "other")
    told = {
        "fc": None,
        "nets.py:build": None,
        "../other/kg_other/nets.py:build": None,
        "nets:build": f"nets in {tmp_path / 'base'}",
        "kg_other.nets:build": f"kg_other in {tmp_path / 'other'}",
        "yaml:safe_load": "yaml",
        f"{yaml.__file__}:safe_load": yaml.__file__,
    }
    assert {text: parse_reference(text, tmp_path / "base").package for text in told} == told


def test_module_on_the_path(tmp_path):
    reference = parse_reference("yaml:safe_load", tmp_path)
    assert reference.kind == "module"
    assert "stream" in read_signature(reference).names


def test_module_without_source(tmp_path):
    reference = parse_reference("pandas._libs.lib:infer_dtype", tmp_path)
    assert reference.file is None
    assert read_signature(reference) is None
    assert len(source_digest(reference)) == 64


LIBRARY = os.path.relpath(os.path.dirname(os.path.realpath(os.__file__)), "/")
STANDARD = ["subprocess", "os", "os.path", "posix", "builtins", "sys", "math", "json.decoder", "json.nothing"]
STANDARD += ["importlib.util", "test.support", "zipimport", f"/{LIBRARY}/subprocess.py"]
STANDARD += [f"{'../' * 30}{LIBRARY}/os.py"]
FORMS = "A function of your own is given as path/to/file.py:function or package.module:function."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fcc",
            "'fcc' is no built-in model. Did you mean 'fc'? "
            f"Known: backbone, bn_cnn, convnet, fc, mlp, sopcnn, vgg, vgg_sopcnn. {FORMS}",
        ),
        (
            "",
            "'' is no built-in model. Known: backbone, bn_cnn, convnet, fc, mlp, sopcnn, vgg, vgg_sopcnn. "
            f"{FORMS}",
        ),
        (":build", f"':build' names no model function. {FORMS} Built in: fc, "),
        ("nets.py:build()", f"'nets.py:build()' names no model function. {FORMS} Built in: fc, "),
        ("nets.py:", f"'nets.py:' names no model function. {FORMS} Built in: fc, "),
        ("missing.py:build", "missing.py: no such file. Looked for "),
        ("a/b:build", "a/b: no such file. Looked for "),
        (
            "nets.py",
            "'nets.py' names a file, but no function in it: give nets.py:function. Known: Net, again,",
        ),
        (
            "nets.py:biuld",
            "nets.py: there is no 'biuld' in it. Did you mean 'build'? Known: Net, again, bare,",
        ),
        ("empty.py:build", "empty.py: there is no 'build' in it. It defines no function."),
        ("broken.py:build", "broken.py:2: SyntaxError: "),
        ("null.py:build", "null.py: "),
        ("deep.py:build", "deep.py: is no Python that can be read ("),
        (
            "no_such_package.nets:build",
            "no_such_package.nets:build: no module named 'no_such_package.nets' in ",
        ),
        ("yaml.nothing:build", "yaml.nothing:build: no module named 'yaml.nothing' in "),
        ("yaml.nodes.deep:build", "yaml.nodes.deep:build: no module named 'yaml.nodes.deep' in "),
        ("a..b:build", "a..b:build: no module named 'a..b' in "),
        ("yaml.nodes:Nod", "yaml.nodes: there is no 'Nod' in it. Did you mean 'Node'? Known: "),
        ("nets:os.system", "'nets:os.system' names no model function. "),
        ("nets.os:system", "nets.os:system: no module named 'nets.os' in "),
        *((f"{text}:build", f"'{text}:build' is of Python's own library, ") for text in STANDARD),
        ("directory.py:build", "directory.py: cannot be read (Is a directory)."),
    ],
)
def test_messages_of_references(text, message, nets, write, tmp_path):
    write("empty.py", "")
    write("broken.py", "x = 1\ndef build(:\n    pass\n")
    (tmp_path / "null.py").write_bytes(b"x = 1\0")
    write("deep.py", "x = " + "-" * 100_000 + "1")
    (tmp_path / "directory.py").mkdir()
    with pytest.raises(ModelError) as caught:
        parse_reference(text, tmp_path)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            "build",
            Signature(
                (
                    Parameter("units", "(64, 32)"),
                    Parameter("rate", "0.5"),
                    Parameter("scale", "FACTOR * 2"),
                    Parameter("name"),
                ),
                given=("input_shape", "n_classes"),
                needs_classes=True,
            ),
        ),
        ("flexible", Signature((), True, given=("input_shape", "n_classes"), needs_classes=True)),
        ("tuned", Signature((Parameter("extra", "1"),), takes_any=True, style="hp")),
        ("not_tuned", Signature((Parameter("hp"), Parameter("depth")))),
        ("bare", Signature(())),
        ("again", Signature((Parameter("b"),))),
        ("decorated", None),
        ("Net", None),
        ("assigned", None),
        ("either", None),
        ("guarded", None),
        ("looped", None),
        ("opened", None),
        ("rest", None),
    ],
)
def test_read_signature(function, expected, nets, tmp_path):
    assert read_signature(parse_reference(f"nets.py:{function}", tmp_path)) == expected


def test_positional_only(nets, tmp_path):
    with pytest.raises(ModelError) as caught:
        read_signature(parse_reference("nets.py:by_position", tmp_path))
    assert str(caught.value) == (
        "nets.py:by_position: input_shape can only be passed by position, but kerasgrid passes arguments by "
        "name. Remove the / from its parameters."
    )


def test_star_import_may_bring_any_name(write, tmp_path):
    write("stars.py", "from os.path import *")
    assert read_signature(parse_reference("stars.py:join", tmp_path)) is None


def test_signature_of_agrees_with_read_signature(write, tmp_path):
    write(
        "plain.py",
        """
        def build(input_shape, n_classes, units=(64, 32), *, rate=0.5, name, **more): ...
        def tuned(hp, extra=1): ...
        def fixed(n_classes, width=-3): ...
        """,
    )
    for name in ("build", "tuned", "fixed"):
        reference = parse_reference(f"plain.py:{name}", tmp_path)
        assert signature_of(load_function(reference)) == read_signature(reference)


@pytest.mark.parametrize(
    ("parameters", "style", "given", "names"),
    [
        ("X, y, units=8", "build", ("X", "y"), ("units",)),
        ("X, y, **more", "build", ("X", "y"), ()),
        ("X, units", "build", (), ("X", "units")),
        ("units, meta", "build", ("meta",), ("units",)),
        ("units, meta=None, *, compile_kwargs", "build", ("meta", "compile_kwargs"), ("units",)),
        ("input_shape, meta='wide'", "build", ("input_shape",), ("meta",)),
        ("x_train, y_train, x_val, y_val, params", "talos", (), ()),
        ("x, Y, x_val, y_val, p", "talos", (), ()),
        ("x, y, x_val, y_val, p=1", "build", ("X", "y"), ("x_val", "y_val", "p")),
        ("data, Labels, units=8", "build", ("X", "y"), ("units",)),
        ("data, units, labels", "build", (), ("data", "units", "labels")),
        ("data, labels=8", "build", (), ("data", "labels")),
    ],
)
def test_functions_of_other_packages_are_known_by_what_they_name(
    parameters, style, given, names, write, tmp_path
):
    write("theirs.py", f"def build({parameters}): ...")
    reference = parse_reference("theirs.py:build", tmp_path)
    signature = read_signature(reference)
    assert (signature.style, signature.given, signature.names) == (style, given, names)
    assert signature_of(load_function(reference)) == signature


def test_signature_of_what_python_cannot_tell():
    with pytest.raises(
        ModelError, match=r"^getattr: Python cannot tell what it takes .*Wrap it in a function"
    ):
        signature_of(getattr)


CLASSES, NUMBERS = Target("classes", ("a", "b")), Target("numbers", ("price",))


@pytest.mark.parametrize(
    ("function", "of_classes", "of_numbers"),
    [
        (lambda input_shape, width: ..., ["input_shape"], ["input_shape"]),
        (lambda n_outputs, n_classes=None: ..., ["n_classes", "n_outputs"], ["n_outputs"]),
        (lambda **more: ..., ["input_shape", "n_classes"], ["input_shape", "n_outputs"]),
        (lambda n_classes=3, **more: ..., ["input_shape", "n_classes"], ["input_shape", "n_outputs"]),
        (lambda multi_label, n_categories: ..., *[["multi_label", "n_categories"]] * 2),
        (lambda hp: ..., [], []),
    ],
)
def test_what_is_passed(function, of_classes, of_numbers):
    signature = signature_of(function)
    assert [list(signature.passed(target)) for target in (CLASSES, NUMBERS)] == [of_classes, of_numbers]
    assert signature.fault(CLASSES) is signature.fault(NUMBERS) is None


def test_what_needs_classes_predicts_no_numbers():
    signature = signature_of(lambda input_shape, n_classes, n_outputs=1: ...)
    assert signature.fault(CLASSES) is None
    assert signature.fault(NUMBERS).startswith("needs n_classes, but numbers are predicted (data.target), ")


@pytest.mark.parametrize(
    ("function", "of_numbers", "of_labels"),
    [
        (lambda input_shape, n_outputs: ..., True, True),
        (lambda input_shape, n_classes=None, n_outputs=None: ..., True, False),
        (lambda input_shape: ..., True, True),
        (lambda hp: ..., True, True),
        (lambda input_shape, n_classes=10: ..., False, False),
        (lambda input_shape, n_classes, n_outputs=1: ..., False, False),
        (lambda input_shape, **params: ..., False, False),
    ],
)
def test_what_is_meant_for_numbers_too(function, of_numbers, of_labels):
    signature = signature_of(function)
    shown = [signature.shows_numbers(are_like_labels=are_like) for are_like in (False, True)]
    assert shown == [of_numbers, of_labels]


def test_accepts():
    signature = Signature((Parameter("units", "64"),), takes_any=True)
    assert signature.accepts("units")
    assert signature.accepts("whatever")
    assert not signature.accepts("n_classes")
    assert not Signature(()).accepts("whatever")


SOURCE = """
def build(input_shape, n_classes, units=64):
    x = units * 2
    return x
"""


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ("# a note\n" + SOURCE.replace("units * 2", "units*2  # twice"), True),
        ('"""Says what."""\n' + SOURCE.replace("    x =", '    """Doc."""\n    x ='), True),
        (SOURCE.replace("* 2", "* 3"), False),
        (SOURCE.replace("units=64", "units=65"), False),
    ],
)
def test_source_digest(changed, same, write, tmp_path):
    write("net.py", SOURCE)
    reference = parse_reference("net.py:build", tmp_path)
    before = source_digest(reference)
    write("net.py", changed)
    assert (source_digest(reference) == before) is same


def test_source_digest_covers_imports_beside_the_file(write, tmp_path):
    write("net.py", "import math\nimport layers\nfrom parts.blocks import block\n" + SOURCE)
    write("layers.py", "import net\nX = 1")
    write("parts/__init__.py", "")
    write("parts/blocks.py", "from .more import deep\nfrom . import other\nblock = 1")
    write("parts/more.py", "deep = 1")
    write("parts/other.py", "other = 1")
    write("unrelated.py", "x = 1")
    reference = parse_reference("net.py:build", tmp_path)
    digests = [source_digest(reference)]
    names = ["parts/blocks.py", "parts/more.py", "parts/other.py", "parts/__init__.py"]
    for name in ("unrelated.py", "layers.py", *names):
        path = tmp_path / name
        path.write_text(path.read_text() + "\ny = 2")
        digests.append(source_digest(reference))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 6


def test_source_digest_of_a_module_covers_what_it_runs_beside_its_package(write, tmp_path):
    write("pkg/__init__.py", "import helpers")
    write("pkg/nets.py", "def build(): ...")
    write("helpers.py", "X = 1")
    reference = parse_reference("pkg.nets:build", tmp_path)
    before = source_digest(reference)
    write("helpers.py", "X = 2")
    assert source_digest(reference) != before


def test_source_digest_lists_folders_once_and_sees_what_came_a_moment_ago(write, tmp_path, monkeypatch):
    from kerasgrid.models import source

    write("net.py", "import math\nimport layers\nimport numpy.linalg\n" + SOURCE)
    reference = parse_reference("net.py:build", tmp_path)
    before = source_digest(reference)
    write("layers.py", "X = 1")
    listed = []
    real = source.importlib.invalidate_caches
    monkeypatch.setattr(source.importlib, "invalidate_caches", lambda: listed.append(real()))
    assert source_digest(reference) != before
    assert len(listed) == 1


def test_source_digest_of_what_is_nested_too_deep(write, tmp_path):
    write("net.py", "x = " + " + ".join(["1"] * 500) + SOURCE)
    reference = parse_reference("net.py:build", tmp_path)
    with pytest.raises(ModelError, match=r"^net\.py: an expression in it is nested too deep to be read\.$"):
        source_digest(reference)


def test_source_digest_of_built_in_covers_its_blocks(tmp_path):
    assert sorted(sources_of(parse_reference("fc", tmp_path))) == ["blocks.py", "fc.py"]


def make(factor):
    def build(input_shape, n_classes):
        """Doc."""
        return factor  # a note

    return build


def test_function_digest():
    def build(input_shape, n_classes):
        return factor

    factor = 1
    assert function_digest(make(1)) == function_digest(make(2)) == function_digest(build)
    assert function_digest(make) != function_digest(build)
    assert function_digest(functools.partial(build, n_classes=1)) != function_digest(
        functools.partial(build, n_classes=2)
    )
    assert factor == 1


def test_function_digest_without_source():
    def compiled(text):
        scope = {}
        exec(text, scope)
        return scope["build"]

    one, same, other = (compiled(f"def build(n):\n    return (lambda: n + {x})()") for x in (1, 1, 2))
    assert function_digest(one) == function_digest(same) != function_digest(other)
    assert function_digest(len) != function_digest(max)


def test_function_digest_of_methods_and_classes():
    class Net:
        def build(self, hp): ...

        def __call__(self, hp): ...

    assert function_digest(Net().build) == function_digest(Net().build)
    assert function_digest(Net()) == function_digest(Net)


def test_import_brings_no_keras():
    code = (
        "import sys, pathlib, kerasgrid.models.references as refs, kerasgrid.models.signature as s\n"
        "r = refs.parse_reference('fc', pathlib.Path()); s.read_signature(r); refs.source_digest(r)\n"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'keras_tuner')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
