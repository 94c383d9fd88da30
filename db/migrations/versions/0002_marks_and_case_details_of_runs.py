"""Marks and case details of runs"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_cases",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_cases_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_cases")),
    )
    op.create_table(
        "run_marks",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_marks_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_marks")),
    )
    op.create_index("ix_images_pixel_hash", "images", ["pixel_hash"])
