"""Copies of imported files, where the installation keeps them"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "copies",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("kind IN ('deidentified', 'original')", name=op.f("ck_copies_kind")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_copies_study_id")),
        sa.PrimaryKeyConstraint("study_id", "hash", name=op.f("pk_copies")),
    )
    op.create_index(op.f("ix_copies_hash"), "copies", ["hash"])
