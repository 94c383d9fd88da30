"""What was measured of heatmaps, for each model and method"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "heatmap_measures",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("measured_by", sa.Text(), nullable=False),
        sa.Column("measured_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_heatmap_measures_model_version")),
        sa.PrimaryKeyConstraint("model_version", "method", "part", name=op.f("pk_heatmap_measures")),
    )
