"""Which elements of a DICOM header were left behind: their names and numbers, never what stood in them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag

# Elements that name or place a person; everything else that is not kept is only counted.
_IDENTIFIERS = frozenset({
    "AccessionNumber", "AcquisitionDate", "AcquisitionTime", "AdditionalPatientHistory", "AdmissionID", "ContentDate",
    "ContentTime", "DeviceSerialNumber", "EthnicGroup", "FrameOfReferenceUID", "ImageComments", "InstitutionAddress",
    "InstitutionName", "InstitutionalDepartmentName", "InstanceCreationDate", "InstanceCreationTime", "IssuerOfPatientID",
    "MilitaryRank", "NameOfPhysiciansReadingStudy", "Occupation", "OperatorsName", "OtherPatientIDs", "OtherPatientNames",
    "PatientAddress", "PatientBirthDate", "PatientBirthName", "PatientBirthTime", "PatientComments", "PatientID",
    "PatientMotherBirthName", "PatientName", "PatientReligiousPreference", "PatientTelephoneNumbers",
    "PerformedProcedureStepDescription", "PerformingPhysicianName", "PhysiciansOfRecord", "ProtocolName",
    "ReferringPhysicianAddress", "ReferringPhysicianName", "ReferringPhysicianTelephoneNumbers", "RequestAttributesSequence",
    "RequestingPhysician", "RequestedProcedureDescription", "SeriesDate", "SeriesDescription", "SeriesInstanceUID",
    "SeriesTime", "SOPInstanceUID", "StationName", "StudyDate", "StudyDescription", "StudyID", "StudyInstanceUID", "StudyTime",
})  # fmt: skip


def left_behind(seen: Collection[int], kept: Collection[int]) -> dict[str, Any]:
    """What of the elements `seen` (tags) is not `kept`: `identifiers` by keyword, and how many private and other ones.

    Identifiers count whether they are only looked at (the patient id, for its pseudonym) or passed over.
    """
    names = {tag: keyword_for_tag(Tag(tag)) for tag in seen if tag >> 16 >= 8}
    identifiers = sorted(name for name in names.values() if name in _IDENTIFIERS)
    private = sum(1 for tag in seen if tag >> 16 & 1)
    left = [tag for tag, name in names.items() if tag not in kept and not tag >> 16 & 1 and name not in _IDENTIFIERS]
    return {"identifiers": identifiers, "private_elements": private, "other_elements": len(left)}
