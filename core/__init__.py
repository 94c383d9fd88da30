"""The science of TumorTrace: images in, readings, predictions, heatmaps and statistics out.

It knows no Streamlit and no database.
"""

import os

# Before torch is imported: its threads sleep while they wait instead of spinning. Where several predictions, heatmaps or
# trainings share a few cores, spinning made each four times slower (7 against 28 images a second, two runs on two cores).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
