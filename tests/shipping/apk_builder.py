"""APKs as Debian's tools make them: aapt packages, smali assembles, zipalign aligns, apksigner signs; no SDK and no emulator.

aapt asks for the framework's resources, which no Debian release packages any more: a framework of eight attributes, with the numbers that
`android.R.attr` gives them, is compiled first. `raw_zip` writes archives by hand, whole or spoiled.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

TOOLS = ("aapt", "aapt2", "zipalign", "apksigner", "keytool", "smali")
ATTRIBUTES = {
    "label": (0x01010001, "string"),
    "hasCode": (0x0101000C, "boolean"),
    "debuggable": (0x0101000F, "boolean"),
    "minSdkVersion": (0x0101020C, "integer|string"),
    "versionCode": (0x0101021B, "integer"),
    "versionName": (0x0101021C, "string"),
    "targetSdkVersion": (0x01010270, "integer|string"),
    "extractNativeLibs": (0x010104EA, "boolean"),
}
SMALI = """.class public Lcom/acme/vision/Main;
.super Ljava/lang/Object;
.method public constructor <init>()V
    .registers 1
    invoke-direct {p0}, Ljava/lang/Object;-><init>()V
    return-void
.end method
"""
MACHINES = {"arm64-v8a": 183, "x86_64": 62, "armeabi-v7a": 40, "x86": 3}


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _folder(prefix: str) -> Path:
    """A folder until the tests end."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run(*command: str | Path, code: int | None = 0) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert code is None or done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def shared_object(abi: str, alignment: int = 16384, *, loads: int = 2, size: int = 4096) -> bytes:
    """A library's ELF header and program headers, with nothing behind them that could run."""
    wide = abi in ("arm64-v8a", "x86_64")
    head = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    if wide:
        head += struct.pack("<HHIQQQIHHHHHH", 3, MACHINES[abi], 1, 0, 64, 0, 0, 64, 56, loads + 1, 0, 0, 0)
        headers = [struct.pack("<IIQQQQQQ", 6, 4, 64, 64, 64, 56 * (loads + 1), 56 * (loads + 1), 8)]
        headers += [struct.pack("<IIQQQQQQ", 1, 5, 0, number * alignment, number * alignment, 64, 64, alignment) for number in range(loads)]
    else:
        head += struct.pack("<HHIIIIIHHHHHH", 3, MACHINES[abi], 1, 0, 52, 0, 0, 52, 32, loads + 1, 0, 0, 0)
        headers = [struct.pack("<IIIIIIII", 6, 52, 52, 52, 32 * (loads + 1), 32 * (loads + 1), 4, 4)]
        headers += [struct.pack("<IIIIIIII", 1, 0, number * alignment, number * alignment, 64, 64, 5, alignment) for number in range(loads)]
    return (head + b"".join(headers)).ljust(size, b"\x5a")


@functools.cache
def framework(tool: str = "aapt") -> Path:
    """The framework's resources, as far as a manifest needs them."""
    folder = _folder("dsmobile-framework-")
    values = folder / "res" / "values"
    values.mkdir(parents=True)
    lines = [f'<public type="attr" name="{name}" id="{number:#010x}"/>' for name, (number, _) in ATTRIBUTES.items()]
    lines += [f'<attr name="{name}" format="{kind}"/>' for name, (_, kind) in ATTRIBUTES.items()]
    (values / "attrs.xml").write_text("<resources>" + "".join(lines) + "</resources>", encoding="utf-8")
    manifest = folder / "AndroidManifest.xml"
    manifest.write_text('<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="android"/>', encoding="utf-8")
    out = folder / "framework.apk"
    if tool == "aapt":
        run("aapt", "package", "-f", "-x", "-M", manifest, "-S", folder / "res", "-F", out)
    else:
        run("aapt2", "compile", "--dir", folder / "res", "-o", folder / "compiled.zip")
        run("aapt2", "link", "--manifest", manifest, "-x", "-o", out, folder / "compiled.zip")
    return out


@functools.cache
def keystore() -> Path:
    path = _folder("dsmobile-key-") / "key.p12"
    run(
        *("keytool", "-genkeypair", "-keystore", path, "-storetype", "PKCS12", "-storepass", "secret", "-alias", "key", "-keyalg", "RSA"),
        *("-keysize", "2048", "-validity", "10000", "-dname", "CN=Acme Vision, O=Acme"),
    )
    return path


@functools.cache
def classes_dex() -> bytes:
    folder = _folder("dsmobile-smali-")
    (folder / "Main.smali").write_text(SMALI, encoding="utf-8")
    run("smali", "assemble", "-o", folder / "classes.dex", folder / "Main.smali")
    return (folder / "classes.dex").read_bytes()


@dataclass
class App:
    """What an APK is built from; each spoiled variant changes one thing."""

    assets: dict[str, bytes] = field(default_factory=dict)
    libraries: dict[str, bytes] = field(default_factory=dict)
    package: str = "com.acme.vision"
    min_sdk: int | str | None = 24
    target_sdk: int | str | None = 35
    extract_native_libs: bool | None = False
    debuggable: bool = False
    stored: tuple[str, ...] = ("tflite", "so")
    zipalign: int = 16384
    schemes: tuple[str, ...] | None = ("v2", "v3")

    @property
    def manifest(self) -> str:
        sdk = "".join(
            f' android:{name}="{value}"'
            for name, value in (("minSdkVersion", self.min_sdk), ("targetSdkVersion", self.target_sdk))
            if value is not None
        )
        flags = "" if self.extract_native_libs is None else f' android:extractNativeLibs="{str(self.extract_native_libs).lower()}"'
        flags += ' android:debuggable="true"' if self.debuggable else ""
        return (
            f'<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="{self.package}" android:versionCode="1">'
            f'<uses-sdk{sdk}/><application android:label="Vision ✓"{flags}/></manifest>'
        )

    def build(self, folder: Path, name: str = "app.apk") -> Path:
        """Packages, aligns and signs."""
        place = folder / f"{name}.parts"
        for path, data in {**{f"assets/{key}": value for key, value in self.assets.items()}, "raw/classes.dex": classes_dex()}.items():
            _write(place / path, data)
        for path, data in self.libraries.items():
            _write(place / "raw" / path, data)
        _write(place / "AndroidManifest.xml", self.manifest.encode())
        (place / "assets").mkdir(exist_ok=True)
        keep = [option for ending in self.stored for option in ("-0", ending)]
        sources = ("-M", place / "AndroidManifest.xml", "-I", framework(), "-A", place / "assets")
        run("aapt", "package", "-f", *keep, *sources, "-F", place / "made.apk", place / "raw")
        run("zipalign", "-f", str(self.zipalign), place / "made.apk", folder / name)
        return self.sign(folder / name)

    def sign(self, apk: Path) -> Path:
        if self.schemes is None:
            return apk
        switches = [option for scheme in ("v1", "v2", "v3") for option in (f"--{scheme}-signing-enabled", str(scheme in self.schemes).lower())]
        lowest = ["--min-sdk-version", "24"] if not isinstance(self.min_sdk, int) else []
        run("apksigner", "sign", "--ks", keystore(), "--ks-pass", "pass:secret", *switches, *lowest, apk)
        return apk


@dataclass(frozen=True)
class Part:
    """An entry of an archive written by hand; what is None is what it should be."""

    name: bytes
    data: bytes = b""
    deflated: bool = False
    method: int | None = None
    flags: int = 0x800
    size: int | None = None
    crc: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    mode: int = 0
    offset: int | None = None
    align: int = 1


def raw_zip(*parts: Part, before: bytes = b"", behind: bytes = b"", block: bytes = b"") -> bytes:
    """A zip archive, as right or as wrong as its parts."""
    out, directory = bytearray(before), bytearray()
    for part in parts:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(part.data) + packer.flush() if part.deflated else part.data
        method = part.method if part.method is not None else 8 * part.deflated
        crc = zlib.crc32(part.data) if part.crc is None else part.crc
        size = len(part.data) if part.size is None else part.size
        local = part.name if part.local_name is None else part.local_name
        at = len(out)
        extra = bytes(-(at + 30 + len(local)) % part.align)
        local_size = size if part.local_size is None else part.local_size
        out += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, part.flags, method, 0, 0x21, crc, len(packed), local_size, len(local), len(extra))
        out += local + extra + packed
        at = at if part.offset is None else part.offset
        numbers = (0x314, 20, part.flags, method, 0, 0x21, crc, len(packed), size, len(part.name), 0, 0, 0, 0, part.mode << 16, at)
        directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", *numbers) + part.name
    out += block
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(parts), len(parts), len(directory), len(out), 0)
    return bytes(out + directory + end) + behind


def binary_xml(*elements: tuple[str, dict[int | str, object]], utf8: bool = True) -> bytes:
    """Android's binary XML, as far as a manifest goes: attributes by resource number, or by name where they have none."""
    numbers = sorted({key for _, attributes in elements for key in attributes if isinstance(key, int)})
    texts = [next((name for name, (number, _) in ATTRIBUTES.items() if number == wanted), f"a{wanted}") for wanted in numbers]

    def text(value: str) -> int:
        if value not in texts:
            texts.append(value)
        return texts.index(value)

    body = b""
    for name, attributes in elements:
        packed = b""
        for key, value in attributes.items():
            index = numbers.index(key) if isinstance(key, int) else text(key)
            kind, number = (3, text(value)) if isinstance(value, str) else (0x12, -int(value)) if isinstance(value, bool) else (0x10, value)
            packed += struct.pack("<IIIHBBi", 0xFFFFFFFF, index, text(value) if kind == 3 else 0xFFFFFFFF, 8, 0, kind, number)
        head = struct.pack("<IIIIHHHHHH", 1, 0xFFFFFFFF, 0xFFFFFFFF, text(name), 20, 20, len(attributes), 0, 0, 0)
        body += struct.pack("<HHI", 0x0102, 16, 8 + len(head) + len(packed)) + head + packed
    strings, offsets = b"", []
    for value in texts:
        offsets.append(len(strings))
        raw = value.encode("utf-8" if utf8 else "utf-16-le")
        strings += bytes([len(value), len(raw)]) + raw + b"\0" if utf8 else struct.pack("<H", len(value)) + raw + b"\0\0"
    strings += bytes(-len(strings) % 4)
    size = 28 + 4 * len(texts) + len(strings)
    pool = struct.pack("<HHIIIIII", 1, 28, size, len(texts), 0, 0x100 if utf8 else 0, 28 + 4 * len(texts), 0)
    pool += struct.pack(f"<{len(texts)}I", *offsets) + strings
    resources = struct.pack("<HHI", 0x0180, 8, 8 + 4 * len(numbers)) + struct.pack(f"<{len(numbers)}I", *numbers)
    return struct.pack("<HHI", 3, 8, 8 + len(pool) + len(resources) + len(body)) + pool + resources + body


def manifest_xml(min_sdk: object = 24, target_sdk: object = 35, *, utf8: bool = True, **application: object) -> bytes:
    """A compiled manifest without aapt."""
    flags: dict[int | str, object] = {ATTRIBUTES[name][0]: value for name, value in application.items()}
    return binary_xml(
        ("manifest", {"package": "com.acme.vision"}),
        ("uses-sdk", {ATTRIBUTES["minSdkVersion"][0]: min_sdk, ATTRIBUTES["targetSdkVersion"][0]: target_sdk}),
        ("application", flags),
        utf8=utf8,
    )


@functools.cache
def mean_model(height: int = 8, width: int = 8, name: str = "tiny", metadata: bytes = b"") -> bytes:
    """A TFLite file of one MEAN, three numbers for an image's three channels, written without TensorFlow."""
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    def tensor(shape: list[int], kind: int, buffer: int, called: str) -> object:
        made = schema.TensorT()
        made.shape, made.type, made.buffer, made.name = shape, kind, buffer, called
        return made

    model, graph, operator, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MEAN
    code.version = 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT()
    operator.builtinOptions.keepDims = False
    graph.tensors = [
        tensor([1, height, width, 3], schema.TensorType.FLOAT32, 0, "input"),
        tensor([2], schema.TensorType.INT32, 1, "axes"),
        tensor([1, 3], schema.TensorType.FLOAT32, 0, "output"),
    ]
    graph.inputs, graph.outputs, graph.operators, graph.name = [0], [2], [operator], "main"
    empty, axes = schema.BufferT(), schema.BufferT()
    axes.data = np.frombuffer(np.asarray([1, 2], np.int32).tobytes(), np.uint8)
    model.version, model.operatorCodes, model.subgraphs, model.buffers, model.description = 3, [code], [graph], [empty, axes], name
    if metadata:
        entry, contents = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer, contents.data = "TFLITE_METADATA", 2, np.frombuffer(metadata, np.uint8)
        model.buffers, model.metadata = [*model.buffers, contents], [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def card_for(model: bytes, labels: bytes, stem: str = "tiny", **changes: object) -> bytes:
    """The card of `mean_model`, by what the network means: the mean over the image of each channel, in float64."""
    import hashlib
    import json

    import numpy as np

    from dsmobile.preprocessing import parse
    from dsmobile.shipping.goldens import synthetic_image

    preprocessing = parse("resize=8,crop=8,scale=-1..1")
    image = synthetic_image(8, 8, 1)
    tensor = preprocessing(image)
    document: dict[str, object] = {
        "schema": "dsmobile.shipped/1",
        "model": f"{stem}.tflite",
        "sha256": hashlib.sha256(model).hexdigest(),
        "size_bytes": len(model),
        "name": stem,
        "recipe": "float32",
        "labels_file": f"{stem}.labels.txt",
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
        "classes": 3,
        "input": {"height": 8, "width": 8, "channels": 3, "dtype": "float32"},
        "preprocessing": preprocessing.to_json(),
        "golden": {
            "image": {"height": 8, "width": 8, "seed": 1},
            "image_sha256": hashlib.sha256(image.tobytes()).hexdigest(),
            "tensor_sha256": hashlib.sha256(tensor.astype("<f4").tobytes()).hexdigest(),
            "outputs": [float(value) for value in np.asarray(tensor, np.float64).mean((0, 1, 2))],
            "tolerance": 1e-4,
        },
        "dsmobile_version": "0.1.0",
    }
    return json.dumps({**document, **changes}).encode()
