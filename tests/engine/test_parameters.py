"""Parameters: the declarations allowed in a class, and the values allowed in a configuration."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.engine.strategy.parameter import REQUIRED, ParameterError, param
from botkit.engine.strategy.parameter_classes import parameters_of
from botkit.engine.strategy.parameter_values import check_value
from botkit.engine.strategy.parameters import check_parameters
from botkit.errors import ConfigError, PluginError
from botkit.model.listed_pairs import ListedPairs
from botkit.model.pairs import Pair, PairRules

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]

RULES = PairRules(
    price_decimals=2,
    amount_decimals=8,
    display_decimals=4,
    least_lots=10_000,
    most_lots=10**16,
    least_spend_units=10**8,
    open_orders_max=200,
)
PAIRS = {name: Pair(name, RULES) for name in ("btc_twd", "btc_usdt", "eth_twd", "usdt_twd")}


class Base:
    """A stand-in for Strategy, with the attribute that parameters_of uses to recognize a strategy."""

    __botkit_strategy__: ClassVar[bool] = True
    _context: Unknown  # this annotation cannot be resolved, which is harmless because the attribute is private

    @property
    def now(self) -> int:
        return 0

    def on_bar(self, bar: Any) -> None: ...


class Mode(enum.Enum):
    LONG_ONLY = "long"
    BOTH = "both"


class Steps(enum.Enum):
    ONE = 1
    TWO = 2


class Sample(Base):
    pair: Pair
    fast: int = param(10, ge=1, le=500, doc="bars")
    slow: int = 30
    spend: float = 20_000
    share: Decimal = param(Decimal("0.5"), gt=0, lt=1)
    name_tag: str = "x"
    dry: bool = False
    mode: Mode = Mode.BOTH
    side: Literal["buy", "sell"] = "buy"
    weights: list[float] = param([0.5, 0.5], ge=0)
    cap: int | None = None
    hidden: ClassVar[int] = 3
    LIMIT: Final = 5
    _private: Unknown


def values(cls: type, **given: Any) -> dict[str, Any]:
    return check_parameters(cls, given, PAIRS)


def only(cls: type, value: Any) -> Any:
    (name,) = parameters_of(cls)
    return check_parameters(cls, {name: value}, PAIRS)[name]


class Whole(Base):
    x: int


class Floating(Base):
    x: float


class Exact(Base):
    x: Decimal


class Text(Base):
    x: str


class Truth(Base):
    x: bool


class OnePair(Base):
    x: Pair


class ManyPairs(Base):
    x: list[Pair]


class OneMode(Base):
    x: Mode


class OneStep(Base):
    x: Steps


class Choice(Base):
    x: Literal["a", 5, True]


# -- from a class -----------------------------------------------------------------------------------------------------


def test_annotated_attributes_are_parameters_in_declaration_order() -> None:
    found = parameters_of(Sample)
    assert parameters_of(Sample) is found, "a running bot asks for them every second"
    assert list(found) == [
        "pair", "fast", "slow", "spend", "share", "name_tag", "dry", "mode", "side", "weights", "cap",
    ]  # fmt: skip
    assert found["pair"].default is REQUIRED
    fast = found["fast"]
    assert (fast.kind, fast.default, fast.minimum, fast.maximum, fast.doc) == (int, 10, 1, 500, "bars")
    assert found["mode"].choices == ("long", "both")
    assert found["side"].choices == ("buy", "sell")
    assert (found["share"].above, found["share"].below) == (0, 1)


def test_defaults_are_filled_in_and_converted_to_their_types() -> None:
    got = values(Sample, pair="btc_twd")
    assert got == {
        "pair": "btc_twd", "fast": 10, "slow": 30, "spend": 20_000.0, "share": Decimal("0.5"), "name_tag": "x",
        "dry": False, "mode": Mode.BOTH, "side": "buy", "weights": [0.5, 0.5], "cap": None,
    }  # fmt: skip
    assert got["pair"] is PAIRS["btc_twd"]
    assert type(got["spend"]) is float


def test_instances_do_not_share_a_list_default() -> None:
    first, second = values(Sample, pair="btc_twd"), values(Sample, pair="btc_twd")
    first["weights"].append(9.0)
    assert second["weights"] == [0.5, 0.5]
    assert values(Sample, pair="btc_twd")["weights"] == [0.5, 0.5]


def test_a_subclass_can_inherit_override_and_fix_parameters() -> None:
    class Child(Sample):
        fast = 20
        slow: ClassVar[int] = 99
        extra: float

    found = parameters_of(Child)
    assert (found["fast"].default, found["fast"].maximum) == (20, 500)
    assert "slow" not in found
    assert list(found)[-1] == "extra"
    assert parameters_of(Sample)["fast"].default == 10


def test_redeclaring_an_attribute_without_a_value_keeps_the_parents_value() -> None:
    class Child(Sample):
        fast: int

    assert parameters_of(Child)["fast"] == parameters_of(Sample)["fast"]


def test_a_mixin_adds_its_parameters() -> None:
    class Mixin:
        window: int = 5

    class Mixed(Base, Mixin):
        other: int = 1

    assert list(parameters_of(Mixed)) == ["window", "other"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"__annotations__": {"now": "int"}}, "now: this parameter would hide"),
        ({"__annotations__": {"on_bar": "int"}, "on_bar": 3}, "on_bar: this parameter would hide"),
        ({"__annotations__": {"x": "Unknown"}}, r"x: the annotation 'Unknown' cannot be resolved"),
        ({"__annotations__": {"x": "dict[str, int]"}}, "not a kind of parameter"),
        ({"__annotations__": {"x": "list"}}, r"write list\[float\]"),
        ({"__annotations__": {"x": "int | str"}}, "not a kind of parameter"),
        ({"__annotations__": {"x": "int"}, "x": 1.5}, "default is invalid: must be a whole number"),
        ({"__annotations__": {"x": "int"}, "x": None}, "default is invalid: is empty"),
        ({"__annotations__": {"x": "int"}, "x": param(0, ge=1)}, "default is invalid: must be at least 1"),
        ({"__annotations__": {"x": "str"}, "x": param("a", ge=1)}, "only numbers have bounds"),
        ({"__annotations__": {"x": "int"}, "x": param(1, ge=float("nan"))}, "not a finite number"),
        ({"__annotations__": {"x": "Mode"}, "x": "lang"}, "did you mean long"),
    ],
)
def test_an_invalid_declaration_is_reported_with_its_class_and_attribute(body: dict[str, Any], says: str) -> None:
    cls = type("Wrong", (Base,), {"__module__": __name__, **body})
    with pytest.raises(PluginError, match=says) as caught:
        parameters_of(cls)
    assert "Wrong." in str(caught.value)


def test_a_parameter_cannot_have_the_name_of_an_inherited_method() -> None:
    class Parent(Base):
        def trend(self) -> int:
            return 1

    class Child(Parent):
        trend: int = 3  # type: ignore[assignment]

    with pytest.raises(PluginError, match=r"trend: this parameter has the same name as a method of .*Parent"):
        parameters_of(Child)


def test_annotations_are_resolved_even_if_the_module_is_not_registered() -> None:
    scope: dict[str, Any] = {"Base": Base, "__name__": "nowhere_to_be_found"}
    code = "from __future__ import annotations\nfrom decimal import Decimal as D\n"
    exec(code + "class C(Base):\n    x: D = D(1)\n    def f(self): ...\n", scope)
    assert parameters_of(scope["C"])["x"].kind is Decimal


def test_parameter_types_have_readable_names() -> None:
    found = parameters_of(Sample)
    assert found["fast"].kind_text == "whole number"
    assert found["weights"].kind_text == "list of numbers"
    assert found["cap"].kind_text == "whole number, or null"
    assert found["side"].kind_text == "one of buy, sell"


# -- configured values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [10, "10", 10.0, "10.0", Decimal("10"), Decimal("1E+1"), " 10 ", "+10"])
def test_integers_are_accepted_in_every_notation(given: Any) -> None:
    got = only(Whole, given)
    assert got == 10
    assert type(got) is int


@pytest.mark.parametrize(
    "given",
    [True, False, 1.5, "1.5", "010", "1e3", "1_000", "ten", "", float("nan"), float("inf"), [1], {}, b"1", "0x10",
     Decimal("1E+999999"), "١٠"],
)  # fmt: skip
def test_values_that_are_not_integers_are_refused(given: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        only(Whole, given)
    assert caught.value.name == "x"


@pytest.mark.parametrize(("given", "wanted"), [(1, 1.0), (0.1, 0.1), ("0.1", 0.1), (Decimal("0.1"), 0.1), (-2, -2.0)])
def test_floats_are_accepted_in_every_notation(given: Any, wanted: float) -> None:
    got = only(Floating, given)
    assert (got, type(got)) == (wanted, float)


@pytest.mark.parametrize("given", [True, "1e3", "nan", "inf", float("inf"), "010.5", "1,5", 10**400, None, "", "true"])
def test_values_that_are_not_floats_are_refused(given: Any) -> None:
    with pytest.raises(ParameterError):
        only(Floating, given)


@pytest.mark.parametrize(("given", "wanted"), [(0.1, "0.1"), ("0.10", "0.10"), (3, "3"), (Decimal("1.5"), "1.5")])
def test_decimals_are_parsed_exactly(given: Any, wanted: str) -> None:
    got = only(Exact, given)
    assert type(got) is Decimal
    assert str(got) == wanted


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=8))
@settings(deadline=None, max_examples=60)
def test_a_decimal_keeps_its_digits_as_written(number: Decimal) -> None:
    assert only(Exact, f"{number:f}") == number


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=60)
def test_a_float_round_trips_without_loss(number: float) -> None:
    assert only(Floating, number).hex() == number.hex()


def test_only_true_and_false_are_accepted_as_booleans() -> None:
    assert [only(Truth, v) for v in (True, False, "true", "false")] == [True, False, True, False]
    for wrong in (1, 0, "yes", "no", "True", "on", 1.0, ""):
        with pytest.raises(ParameterError, match="must be true or false"):
            only(Truth, wrong)


def test_a_text_parameter_accepts_only_strings() -> None:
    assert only(Text, "010") == "010"
    with pytest.raises(ParameterError, match='write it in quotes: "5"'):
        only(Text, 5)
    with pytest.raises(ParameterError, match='write it in quotes: "true"'):
        only(Text, True)


def test_an_enum_parameter_accepts_a_member_its_value_or_its_name() -> None:
    assert [only(OneMode, v) for v in ("long", "LONG_ONLY", "long_only", Mode.LONG_ONLY)] == [Mode.LONG_ONLY] * 4
    with pytest.raises(ParameterError, match=r"one of long, both, not 'lnog'; did you mean long\?"):
        only(OneMode, "lnog")
    assert [only(OneStep, v) for v in (1, "1", "one")] == [Steps.ONE] * 3
    with pytest.raises(ParameterError):
        only(OneStep, True)


def test_a_literal_parameter_keeps_the_type_of_the_selected_value() -> None:
    assert [only(Choice, v) for v in ("a", 5, "5", True)] == ["a", 5, 5, True]
    for wrong in (1, "b", 5.5, False, [1]):
        with pytest.raises(ParameterError, match="must be one of a, 5, true"):
            only(Choice, wrong)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("btc_tdw", "did you mean btc_twd"),
        ("BTC_TWD", "did you mean btc_twd"),
        ("btc/usdt", "did you mean btc_usdt"),
        ("twd_btc", "did you mean btc_twd"),
        ("doge_twd", "not a pair of the exchange"),
        (5, "must be a pair such as btc_twd"),
    ],
)
def test_a_misspelled_pair_gets_a_suggestion(given: Any, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        only(OnePair, given)


def test_a_pair_that_is_listed_but_cannot_be_traded_is_refused_with_the_reason() -> None:
    listed = ListedPairs(PAIRS, {"doge_twd": "its basePrecision is 9"})
    for name in ("doge_twd", "DOGE/TWD"):
        with pytest.raises(ParameterError, match="doge_twd cannot be traded: its basePrecision is 9"):
            check_parameters(OnePair, {"x": name}, listed)
    assert check_parameters(OnePair, {"x": "btc_twd"}, listed) == {"x": "btc_twd"}


def test_pair_parameters_include_the_pair_rules_of_the_run() -> None:
    stale = Pair("btc_twd", RULES)
    assert only(OnePair, stale) is PAIRS["btc_twd"]
    assert only(ManyPairs, ["btc_twd", "eth_twd"]) == ["btc_twd", "eth_twd"]
    with pytest.raises(ParameterError, match=r"parameter x\[1\]: 'eth_tdw' is not a pair"):
        only(ManyPairs, ["btc_twd", "eth_tdw"])
    with pytest.raises(ParameterError, match=r"must be a list of pairs, such as \[btc_twd, ...\]"):
        only(ManyPairs, "btc_twd")


def test_bounds_are_enforced_exactly_for_every_numeric_type() -> None:
    with pytest.raises(ParameterError, match="fast: must be at least 1, not 0"):
        values(Sample, pair="btc_twd", fast=0)
    with pytest.raises(ParameterError, match="fast: must be at most 500, not 501"):
        values(Sample, pair="btc_twd", fast="501")
    for edge in ("0", "1"):
        with pytest.raises(ParameterError, match="share: must be"):
            values(Sample, pair="btc_twd", share=edge)
    with pytest.raises(ParameterError, match=r"weights\[1\]: must be at least 0, not -1"):
        values(Sample, pair="btc_twd", weights=[1, -1])

    class Tenth(Base):
        x: Decimal = param(ge=0.1)

    assert only(Tenth, "0.1") == Decimal("0.1")


def test_only_an_optional_parameter_accepts_null() -> None:
    assert values(Sample, pair="btc_twd", cap=None)["cap"] is None
    assert values(Sample, pair="btc_twd", cap="7")["cap"] == 7
    with pytest.raises(ParameterError, match="fast: is empty; give it a value"):
        values(Sample, pair="btc_twd", fast=None)


def test_unknown_and_missing_parameter_names_are_reported() -> None:
    with pytest.raises(ParameterError, match=r"fats: Sample has no such parameter; did you mean fast\?; it has pair"):
        values(Sample, pair="btc_twd", fats=3)
    with pytest.raises(ParameterError, match=r"pair: Sample requires it \(pair\); add it under params"):
        values(Sample)
    assert issubclass(ParameterError, ConfigError)


def test_a_single_value_can_be_validated_separately() -> None:
    assert check_value(parameters_of(Sample)["fast"], "12", PAIRS) == 12


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.decimals(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from([Whole, Floating, Exact, Text, Truth, OnePair, ManyPairs, OneMode, OneStep, Choice]),
)
@settings(deadline=None, max_examples=300)
def test_invalid_input_raises_only_parameter_errors(value: Any, cls: type) -> None:
    with contextlib.suppress(ParameterError):
        only(cls, value)


def test_param_has_the_static_type_of_its_default(tmp_path: Path) -> None:
    source = tmp_path / "typed.py"
    source.write_text(
        "from botkit.engine.strategy.parameter import param\n"
        "class S:\n    a: int = param(1, ge=1)\n    b: float = param(0.5)\n    c: str = param()\n"
        "    d: int = param('x')\n",
        encoding="utf-8",
    )
    root = Path(__file__).parents[2]
    # check only these two files, because checking all of their imports would take ten seconds
    files = [str(source), str(root / "botkit/engine/strategy/parameter.py")]
    options = ["--strict", "--no-error-summary", "--follow-imports=skip", f"--cache-dir={os.devnull}", "-O", "json"]
    command = [sys.executable, "-m", "mypy", *options, *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    errors = [json.loads(line) for line in result.stdout.splitlines()]
    lines = [error["line"] for error in errors if error["file"] == str(source)]
    assert lines == [6], result.stdout + result.stderr
