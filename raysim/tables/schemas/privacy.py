"""Schemas of what differential privacy guarantees, by round, and of what an audit finds of it."""

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

PRIVACY = table_spec(
    "privacy",
    "What strategies with differential privacy have spent of it after each round, as their mechanism is accounted for:"
    " an upper bound for whoever sees the models, not what was measured. The report's section gives the assumptions.",
    "seed strategy order round organization",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("round", SMALL, "from 1; this and all before it are accounted for"),
        ("unit", TEXT, "what neighbouring data sets differ in: organization (all of its code), or sequence"),
        ("organization", TEXT, "whose sequences; empty where the unit is an organization: it holds for each"),
        ("epsilon", REAL, "at most so much is lost; null: unbounded, since there is no noise"),
        ("delta", REAL, "of the guarantee"),
        ("noise_multiplier", REAL, "standard deviation of the noise over the most that one unit adds to a sum"),
        ("sampling_rate", REAL, "probability with which a unit takes part in a step; 1: in all"),
        ("sampling", TEXT, "what is drawn, and so amplifies: Poisson, or none: all take part"),
        (
            "accountant",
            TEXT,
            "PLD: distributions of privacy losses, composed; RDP: Renyi divergences, above 100",
        ),
        ("assumptions", TEXT, "under which the number holds"),
    ],
)

PRIVACY_AUDITS = table_spec(
    "privacy_audits",
    "What the guesses of an attacker on an organization's sequence canaries rule out of epsilon, of the final model of"
    " each setting: a lower bound beside the upper one of privacy, in the same unit. Zero proves nothing.",
    "seed strategy order organization",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("organization", TEXT, "whose sequences"),
        ("model", TEXT, "key of the final model, from which alone is guessed"),
        ("unit", TEXT, "sequence; settings whose guarantee is of another unit are left out"),
        ("delta", REAL, "of the guarantee; of the measure's settings where there is none"),
        ("claimed_epsilon", REAL, "the upper bound, as in privacy after the last round; null: none, or unbounded"),
        ("audited_epsilon", REAL, "epsilons below it are ruled out at 95 %"),
        ("canaries", COUNT, "sequences that a coin put in or left out"),
        ("guesses", COUNT, "coins that were guessed, as chosen before the run"),
        ("correct", COUNT, "of these, the right ones"),
        (
            "verdict",
            TEXT,
            "within the claim; above the claim, so that claim or code is wrong but for 1 audit in 20; nothing claimed",
        ),
    ],
)
