"""A table drawn in the shape of Kaggle's House Prices: `python tests/houses.py data` writes its three files.

1,460 rows to train on and 1,459 to predict, 36 columns of numbers, 43 of categories, Id and SalePrice, with
blanks as `NA`: some columns are nearly empty, since `NA` there says that a house has none. No value is of
the competition's; the logarithm of the price is a sum of effects, one product and noise.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

N_TRAIN, N_TEST = 1_460, 1_459
NOISE = 0.1
"""The std of what no column tells of log(price): no net predicts it to less."""
CLASSES = {20: 0.4, 60: 0.2, 50: 0.1, 120: 0.06, 30: 0.05, 160: 0.05, 70: 0.05, 80: 0.05, 90: 0.04}
"""The codes of MSSubClass, which are no numbers, and their shares."""
WIDTHS = {"Neighborhood": 0.14, "KitchenQual": 0.06, "ExterQual": 0.05, "BsmtQual": 0.05}
"""The std of the effects of a column's categories on log(price); 0.01 for the others."""
QUALITIES = "Ex:0.06 Gd:0.35 TA:0.5 Fa:0.07 Po:0.02"
CATEGORIES = {
    "MSZoning": "RL:0.79 RM:0.15 FV:0.04 RH:0.012 C:0.008",
    "Street": "Pave:0.995 Grvl:0.005",
    "Alley": "NA:0.94 Grvl:0.035 Pave:0.025",
    "LotShape": "Reg:0.63 IR1:0.33 IR2:0.03 IR3:0.01",
    "LandContour": "Lvl:0.9 Bnk:0.04 HLS:0.035 Low:0.025",
    "Utilities": "AllPub:0.998 NoSeWa:0.002",
    "LotConfig": "Inside:0.72 Corner:0.18 CulDSac:0.06 FR2:0.03 FR3:0.01",
    "LandSlope": "Gtl:0.95 Mod:0.04 Sev:0.01",
    "Neighborhood": "NAmes:0.15 CollgCr:0.1 OldTown:0.08 Edwards:0.07 Somerst:0.06 Gilbert:0.06 "
    "NridgHt:0.05 Sawyer:0.05 NWAmes:0.05 SawyerW:0.04 BrkSide:0.04 Crawfor:0.04 Mitchel:0.03 "
    "NoRidge:0.03 Timber:0.03 IDOTRR:0.03 ClearCr:0.02 StoneBr:0.02 SWISU:0.02 MeadowV:0.01 "
    "Blmngtn:0.01 BrDale:0.006 Veenker:0.004",
    "Condition1": "Norm:0.86 Feedr:0.06 Artery:0.03 RRAn:0.02 PosN:0.02 PosA:0.01",
    "Condition2": "Norm:0.99 Feedr:0.006 Artery:0.004",
    "BldgType": "1Fam:0.83 TwnhsE:0.08 Duplex:0.04 Twnhs:0.03 2fmCon:0.02",
    "HouseStyle": "1Story:0.5 2Story:0.3 1.5Fin:0.11 SLvl:0.05 SFoyer:0.03 1.5Unf:0.01",
    "RoofStyle": "Gable:0.78 Hip:0.2 Flat:0.01 Gambrel:0.01",
    "RoofMatl": "CompShg:0.98 Tar&Grv:0.01 WdShngl:0.01",
    "Exterior1st": "VinylSd:0.35 HdBoard:0.15 MetalSd:0.15 Wd_Sdng:0.14 Plywood:0.08 BrkFace:0.13",
    "Exterior2nd": "VinylSd:0.35 MetalSd:0.15 HdBoard:0.14 Wd_Sdng:0.14 Plywood:0.1 Wd_Shng:0.12",
    "MasVnrType": "None:0.59 BrkFace:0.3 Stone:0.09 BrkCmn:0.01 NA:0.01",
    "ExterQual": QUALITIES,
    "ExterCond": "TA:0.88 Gd:0.1 Fa:0.02",
    "Foundation": "PConc:0.44 CBlock:0.43 BrkTil:0.1 Slab:0.02 Stone:0.01",
    "BsmtQual": "TA:0.44 Gd:0.42 Ex:0.08 Fa:0.03 NA:0.03",
    "BsmtCond": "TA:0.9 Gd:0.04 Fa:0.03 NA:0.03",
    "BsmtExposure": "No:0.65 Av:0.15 Gd:0.09 Mn:0.08 NA:0.03",
    "BsmtFinType1": "Unf:0.29 GLQ:0.29 ALQ:0.15 BLQ:0.1 Rec:0.09 LwQ:0.05 NA:0.03",
    "BsmtFinType2": "Unf:0.86 Rec:0.04 LwQ:0.03 BLQ:0.02 ALQ:0.01 GLQ:0.01 NA:0.03",
    "Heating": "GasA:0.98 GasW:0.01 Grav:0.01",
    "HeatingQC": "Ex:0.5 TA:0.3 Gd:0.16 Fa:0.04",
    "CentralAir": "Y:0.93 N:0.07",
    "Electrical": "SBrkr:0.91 FuseA:0.065 FuseF:0.02 FuseP:0.005",
    "KitchenQual": QUALITIES,
    "Functional": "Typ:0.93 Min2:0.03 Min1:0.02 Mod:0.01 Maj1:0.01",
    "FireplaceQu": "NA:0.47 Gd:0.26 TA:0.22 Fa:0.02 Ex:0.02 Po:0.01",
    "GarageType": "Attchd:0.6 Detchd:0.26 BuiltIn:0.06 NA:0.055 Basment:0.015 CarPort:0.01",
    "GarageFinish": "Unf:0.41 RFn:0.29 Fin:0.24 NA:0.06",
    "GarageQual": "TA:0.9 NA:0.055 Fa:0.035 Gd:0.01",
    "GarageCond": "TA:0.91 NA:0.055 Fa:0.025 Gd:0.01",
    "PavedDrive": "Y:0.92 N:0.06 P:0.02",
    "PoolQC": "NA:0.995 Gd:0.003 Ex:0.002",
    "Fence": "NA:0.81 MnPrv:0.11 GdPrv:0.04 GdWo:0.04",
    "MiscFeature": "NA:0.963 Shed:0.034 Gar2:0.003",
    "SaleType": "WD:0.87 New:0.085 COD:0.03 ConLD:0.015",
    "SaleCondition": "Normal:0.82 Partial:0.09 Abnorml:0.07 Family:0.02",
}
"""Each column of categories: its values and their shares, in whatever sum; `_` is a blank of a value."""
BLANK_IN_TEST = ("MSZoning", "Utilities", "KitchenQual", "Functional", "TotalBsmtSF", "GarageCars")
"""Columns that are blank in some rows of test, and in none of train."""
UNKNOWN_IN_TEST = ("Condition2", "RRNn")
"""A column and a category of it that train lacks."""


def drawn(n: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns all columns of n houses but Id, SalePrice last; numbers are floats, NaN where blank."""
    normal, uniform = generator.standard_normal, generator.random
    quality = np.clip(np.rint(6.1 + 1.4 * normal(n)), 1, 10)
    built = np.clip(np.rint(1971 + 6 * (quality - 6) + 26 * normal(n)), 1872, 2010)
    basement = np.where(uniform(n) < 0.025, 0, np.rint(np.exp(6.9 + 0.35 * normal(n))))
    first = np.rint(np.maximum(basement * 0.5 + 520 + 180 * normal(n), 334))
    second = np.where(uniform(n) < 0.57, 0, np.rint(first * np.clip(0.75 + 0.15 * normal(n), 0.3, 1)))
    cars = np.clip(np.rint(1.8 + 0.3 * (quality - 6) + 0.5 * normal(n)), 0, 4)
    finished = np.rint(basement * np.where(uniform(n) < 0.3, 0, uniform(n)))
    rest = basement - finished
    also = np.where(uniform(n) < 0.88, 0, np.rint(rest * uniform(n)))

    def zeros(share: float, size: float) -> np.ndarray:
        return np.where(uniform(n) < share, 0, np.rint(size * (0.3 + uniform(n))))

    numbers = {
        "MSSubClass": generator.choice([*CLASSES], n, p=[*CLASSES.values()]).astype(float),
        "LotFrontage": np.where(uniform(n) < 0.177, np.nan, np.clip(np.rint(70 + 22 * normal(n)), 21, 313)),
        "LotArea": np.rint(np.exp(9.1 + 0.5 * normal(n))),
        "OverallQual": quality,
        "OverallCond": np.clip(np.rint(5.6 + 1.1 * normal(n)), 1, 9),
        "YearBuilt": built,
        "YearRemodAdd": np.maximum(built, np.rint(1950 + 60 * uniform(n))),
        "MasVnrArea": np.where(uniform(n) < 0.005, np.nan, zeros(0.59, 260)),
        "BsmtFinSF1": finished,
        "BsmtFinSF2": also,
        "BsmtUnfSF": rest - also,
        "TotalBsmtSF": basement,
        "1stFlrSF": first,
        "2ndFlrSF": second,
        "LowQualFinSF": zeros(0.98, 300),
    }
    numbers["GrLivArea"] = first + second + numbers["LowQualFinSF"]
    rooms = np.clip(np.rint(numbers["GrLivArea"] / 240 + 0.8 * normal(n)), 2, 14)
    numbers |= {
        "BsmtFullBath": np.rint(0.8 * uniform(n)),
        "BsmtHalfBath": np.floor(1.06 * uniform(n)),
        "FullBath": np.clip(np.rint(numbers["GrLivArea"] / 950 + 0.4 * normal(n)), 0, 3),
        "HalfBath": np.rint(0.9 * uniform(n)),
        "BedroomAbvGr": np.clip(np.rint(rooms * 0.45), 0, 8),
        "KitchenAbvGr": np.floor(1 + 1.05 * uniform(n)),
        "TotRmsAbvGrd": rooms,
        "Fireplaces": np.floor(2.2 * uniform(n) ** 1.5),
        "GarageYrBlt": np.where(cars == 0, np.nan, np.minimum(built + np.rint(8 * uniform(n) ** 4), 2010)),
        "GarageCars": cars,
        "GarageArea": np.rint(cars * (250 + 30 * normal(n))),
        "WoodDeckSF": zeros(0.52, 230),
        "OpenPorchSF": zeros(0.45, 100),
        "EnclosedPorch": zeros(0.86, 190),
        "3SsnPorch": zeros(0.984, 240),
        "ScreenPorch": zeros(0.92, 220),
        "PoolArea": zeros(0.995, 600),
        "MiscVal": zeros(0.965, 1_500),
        "MoSold": np.clip(np.rint(6.3 + 2.7 * normal(n)), 1, 12),
        "YrSold": generator.integers(2006, 2011, n).astype(float),
    }
    table, effects = dict(numbers), np.zeros(n)
    for name, told in CATEGORIES.items():
        values, shares = zip(*(pair.rsplit(":", 1) for pair in told.split()), strict=True)
        share = np.asarray(shares, float)
        code = generator.choice(len(values), n, p=share / share.sum())
        table[name] = np.asarray([value.replace("_", " ") for value in values])[code]
        # Not those of the table: the same in train and test, whatever rows are drawn.
        of_column = np.random.default_rng(sum(map(ord, name)))
        effects += WIDTHS.get(name, 0.01) * of_column.standard_normal(len(values))[code]
    living = np.log(numbers["GrLivArea"])
    log_price = (
        7.35
        + 0.5 * living
        + 0.085 * quality
        + 0.05 * (quality - 6) * (living - 7.2)
        + 0.04 * (numbers["OverallCond"] - 5)
        + 0.0025 * np.minimum(built - 1940, 60)
        + 0.05 * cars
        + 0.00012 * basement
        + 0.08 * (numbers["LotArea"] > 9_000)
        + 0.03 * numbers["Fireplaces"]
        + effects
        + NOISE * normal(n)
    )
    table["SalePrice"] = np.rint(np.exp(log_price) / 100) * 100
    return table


def write_houses(folder: Path, n_train: int = N_TRAIN, n_test: int = N_TEST, seed: int = 0) -> None:
    """Writes train.csv, test.csv and sample_submission.csv into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    train, test = (drawn(n, generator) for n in (n_train, n_test))
    train["Id"], test["Id"] = np.arange(1, n_train + 1), np.arange(n_train + 1, n_train + n_test + 1)
    for name in BLANK_IN_TEST:
        values = test[name].astype(object)
        values[generator.choice(n_test, 2, replace=False)] = "NA"
        test[name] = values
    column, unknown = UNKNOWN_IN_TEST
    test[column] = test[column].astype(object)
    test[column][generator.integers(n_test)] = unknown
    order = ["Id", *(name for name in train if name not in ("Id", "SalePrice")), "SalePrice"]
    _write(folder / "train.csv", order, train)
    _write(folder / "test.csv", order[:-1], test)
    flat = {"Id": test["Id"], "SalePrice": np.full(n_test, float(np.mean(train["SalePrice"])))}
    _write(folder / "sample_submission.csv", ["Id", "SalePrice"], flat)


def _write(path: Path, names: list[str], columns: dict[str, np.ndarray]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        rows = zip(*(columns[name] for name in names), strict=True)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """Returns what stands in a file: whole numbers without a point, `NA` where there is none."""
    if not isinstance(value, float):
        return value
    return "NA" if np.isnan(value) else int(value) if value == int(value) else value


if __name__ == "__main__":
    write_houses(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
