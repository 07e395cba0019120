"""What the short names of diagnoses stand for, as HAM10000 and the ISIC challenges use them."""

# Tschandl et al. 2018 (Sci Data 5:180161) for HAM10000's seven; the challenges of ISIC 2019 for the rest.
FULL_NAMES = {
    "akiec": "actinic keratosis or intraepithelial carcinoma (Bowen's disease)",
    "ak": "actinic keratosis",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis (solar lentigo, seborrheic keratosis or lichen-planus-like keratosis)",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "scc": "squamous cell carcinoma",
    "sk": "seborrheic keratosis",
    "vasc": "vascular lesion (angioma, angiokeratoma, pyogenic granuloma or haemorrhage)",
}


def full_name(diagnosis: str) -> str:
    """The full name; a class that is not in the list goes by its own."""
    return FULL_NAMES.get(diagnosis.lower(), diagnosis)
