"""Words of the DICOM standard that may be kept from a file: whoever writes a name where a code belongs finds it left out."""

from __future__ import annotations

import re

# Defined terms that may stay, wherever they stand: an unlisted word could be anybody's.
_WORDS = """
    AR AU BDUS BI BMD CR CT DG DMS DX ES GM HC IO IVOCT IVUS LS MG MR NM OCT OP OPM OPT OPV OSS OT PT PX RF RG RTIMAGE SC SM TG
    US XA XC ECG DOC FID KO PR REG RTDOSE RTPLAN RTSTRUCT RWV SEG SR
    ORIGINAL DERIVED PRIMARY SECONDARY AXIAL LOCALIZER OTHER MIXED NONE VOLUME PROJECTION_IMAGE MPR RESAMPLED
    MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_ICT YBR_RCT YBR_PARTIAL_420
    LINEAR LINEAR_EXACT SIGMOID IDENTITY INVERSE LIN LOG DISP MONOCHROME COLOR TRUE_COLOR
    YES NO Y N L R B U F M O A P H LA RA LP RP FA HA AF PF PH FR FL HF HFS HFP FFS FFP 00 01
    HU US OD UNSPECIFIED ISO_10918_1 ISO_14495_1 ISO_15444_1 ISO_15444_2
    AP PA CC MLO ML LM LMO ID LID RL LL FB SIO ISO AT XCCL XCCM TAN
    BREAST CHEST THORAX HEART LUNG LIVER PANCREAS KIDNEY BRAIN HEAD NECK ABDOMEN PELVIS PROSTATE UTERUS OVARY BLADDER SPINE
    EXTREMITY KNEE HAND FOOT SHOULDER HIP WRIST ANKLE ELBOW SKULL LSPINE CSPINE TSPINE THYROID AXILLA SKIN WHOLEBODY
    SE IR GR EP RM SK MTC SS TRSS SP MP OSP 2D 3D T1 T2 T2_STAR PROTON_DENSITY DIFFUSION PERFUSION DYNAMIC MAGNITUDE PHASE
    REAL IMAGINARY FIELD DISTORTED SAMPLED UNIFORM CARDIAC REST STRESS
    RECTANGULAR CIRCULAR POLYGONAL PLANAR BIPLANE AREA CENTER FILTER DIGITAL FILM FIXED MOVING SCINTILLATOR DIRECT
    MOLYBDENUM RHODIUM TUNGSTEN SILVER ALUMINUM COPPER AUTOMATIC MANUAL
"""
TERMS = frozenset(_WORDS.split()) | {"PALETTE COLOR", "FOR PROCESSING", "FOR PRESENTATION"}

# What folders call a sequence or a view: such words, with at most three digits behind them.
_SEQUENCE_WORDS = (
    frozenset(
        """T T1 T2 T1W T2W DCE DWI ADC STIR FLAIR SPAIR PD B PRE POST CONTRAST NATIVE DELAYED SUB SUBTRACTION PHASE P SER SERIES SEQ
    SEQUENCE S AX AXIAL SAG SAGITTAL COR CORONAL TRA FS FATSAT MIP VIBRANT LEFT RIGHT VIEW""".split()  # noqa: SIM905
    )
    | TERMS
)


def view_words(said: str) -> str:
    """What a folder or table calls a view or sequence, where it consists of such words; empty for anything else."""
    words = re.split(r"[ _+.-]+", said.strip().upper())
    known = all(re.fullmatch(r"\d{1,3}", word) or re.sub(r"\d{1,3}$", "", word) in _SEQUENCE_WORDS for word in words)
    return said if known and len(said) <= 16 else ""


_AGE = re.compile(r"[0-9]{3}[DWMY]")
_OLDEST_YEARS = 89


def told_age(age: str) -> str:
    """A DICOM age (042Y, 010M, …) as it may be told, 090Y for everybody above 89: few people reach it; empty for anything else."""
    if not _AGE.fullmatch(age):
        return ""
    return "090Y" if age[3] == "Y" and int(age[:3]) > _OLDEST_YEARS else age


# First word of what devices write as their manufacturer -> the company; models and sites often follow it.
VENDORS = {
    "GE": "GE", "SIEMENS": "Siemens", "PHILIPS": "Philips", "HOLOGIC": "Hologic", "LORAD": "Hologic", "FUJI": "Fujifilm",
    "FUJIFILM": "Fujifilm", "CANON": "Canon", "TOSHIBA": "Canon", "HITACHI": "Hitachi", "ALOKA": "Hitachi", "SAMSUNG": "Samsung",
    "MEDISON": "Samsung", "MINDRAY": "Mindray", "SUPERSONIC": "SuperSonic", "ESAOTE": "Esaote", "AGFA": "Agfa",
    "CARESTREAM": "Carestream", "KODAK": "Carestream", "KONICA": "Konica Minolta", "IMS": "IMS", "PLANMED": "Planmed",
    "SECTRA": "Sectra", "ACUSON": "Siemens", "ATL": "Philips", "BRUKER": "Bruker", "TUMORTRACE": "TumorTrace", "LEICA": "Leica",
    "APERIO": "Leica", "HAMAMATSU": "Hamamatsu", "VENTANA": "Roche", "ROCHE": "Roche", "3DHISTECH": "3DHISTECH",
}  # fmt: skip
