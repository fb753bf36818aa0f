"""The mutants: broken policies of the specification, and faults seeded into our own code. A name, what it does, where."""

from tests.faults.mutant_list.adapters import ADAPTERS
from tests.faults.mutant_list.execution import EXECUTION
from tests.faults.mutant_list.journal import JOURNAL
from tests.faults.mutant_list.lane import LANE
from tests.faults.mutant_list.mutant import Mutant
from tests.faults.mutant_list.policies import POLICIES
from tests.faults.mutant_list.risk import RISK
from tests.faults.mutant_list.session import SESSION
from tests.faults.mutant_list.starts import AFTER_A_START
from tests.faults.mutant_list.told import TOLD

MUTANTS: tuple[Mutant, ...] = (*POLICIES, *EXECUTION, *RISK, *JOURNAL, *ADAPTERS, *SESSION, *LANE, *AFTER_A_START, *TOLD)
