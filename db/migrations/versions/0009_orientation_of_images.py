"""To which side of the patient an image's rows and columns lead"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("orientation", sa.JSON(), nullable=True))
