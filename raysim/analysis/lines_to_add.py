"""The line of an experiment that adds what a contrast lacks."""

TO_ADD: dict[str, str] = {
    "perplexity": "measure: {perplexity: {}}",
    "memorization": "measure: {memorization: {}}",
    "prompts": "measure: {memorization: {prompts: {function: 100}}}",
    "rounds": "measure: {memorization: {when: every_round}}",
    "centralized": "strategies: [centralized]",
    "incremental": "strategies: [{incremental: {orders: all}}]",
    "federated": "strategies: [{fedavg: {rounds: 10}}]",
    "single": "strategies: [single]",
    "half": "strategies: [{single: {label: single_half, fraction: 0.5}}]",
    "mix": "strategies: [{centralized: {label: centralized_equal, fraction: 0.33}}], one over the organizations",
    "without": "strategies: [{fedavg: {leave_one_out: true}}]",
    "training loss": "measure: {memorization: {when: [every_round, every_pooled_epoch]}}, and run again",
    "continued": "measure: {memorization: {}}, and run again to count true continuations",
}
"""Labels are free: the arms of F1 are known by their family and fraction and by the tokens that they saw, a federation
without one organization by its members."""
