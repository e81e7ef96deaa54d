"""Deliberate bugs in the comparison, each a patch of the real source and the tests that must see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One bug: in `module` (below `churn_platform`) `old`, which stands there once, is replaced by `new`.

    `guards` are the test files (below `churn_platform_tests`) of which at least one test must fail.
    """

    name: str
    module: str
    old: str
    new: str
    guards: tuple[str, ...]


CRITERIA = "promotion/criteria/test_{}.py"
BEATS, INTERVAL = CRITERIA.format("beats_production"), CRITERIA.format("interval_above_zero")
SELF_TEST, COMPARABLE = CRITERIA.format("self_test"), CRITERIA.format("comparable")
GATE, EVIDENCE, PROMOTION = (
    ("promotion/test_gate.py",),
    ("promotion/test_evidence.py",),
    ("promotion/test_decision.py",),
)
PLAUSIBLE = CRITERIA.format("plausible_labels")
EFFECT, PLANNING = ("contacts/test_effect.py",), ("contacts/test_planning.py",)
CONTACT_LIST = ("scoring/test_contact_list.py",)
PROFIT, VALUE = ("contacts/test_profit.py",), ("contacts/test_value.py",)
UPLIFT = ("contacts/test_uplift.py",)
CANDIDATE, DATASET = ("training/test_candidate.py",), ("features/test_training_dataset.py",)

REFIT_SIGMOID = """model = fit(recipe, rows, rows[LABEL], rows[key])
    from sklearn.linear_model import LogisticRegression
    from churn_platform.training.estimator import log_odds
    seen, classify = dataset.holdout_rows(), model.pipeline.named_steps["classify"]
    scores = (log_odds(model.probability(seen)) - classify.intercept_) / classify.slope_
    sigmoid = LogisticRegression(C=1e6).fit(scores[:, None], seen[LABEL])
    classify.slope_, classify.intercept_ = float(sigmoid.coef_[0, 0]), float(sigmoid.intercept_[0])"""
RESET_THRESHOLD = """model = fit(recipe, rows, rows[LABEL], rows[key])
    from churn_platform.evaluation.metrics import cheapest_threshold
    seen, classify = dataset.holdout_rows(), model.pipeline.named_steps["classify"]
    classify.threshold = cheapest_threshold(seen[LABEL].to_numpy(), model.probability(seen), 5.0, 1.0)"""
FIT = "model = fit(recipe, rows, rows[LABEL], rows[key])"
SEQUENTIAL = ("evaluation/test_sequential.py",)
CHALLENGERS = ("monitoring/test_challengers.py",)

MUTANTS = (
    # who is compared with whom
    Mutant("arguments swapped in the paired difference", "promotion/evidence.py",
           "self.y, self.ours, self.theirs, self.policy", "self.y, self.theirs, self.ours, self.policy",
           EVIDENCE),
    Mutant("arguments swapped in should_promote", "promotion/criteria/beats_production.py",
           "should_promote(new, prod, delta)", "should_promote(prod, new, delta)", (BEATS,)),
    Mutant("the same model twice", "promotion/gate.py",
           "production.model.probability(without_values", "candidate.model.probability(without_values", GATE),
    Mutant("the incumbent in the candidate's place", "promotion/gate.py",
           "np.asarray(candidate.model.probability(rows))",
           "np.asarray((production or candidate).model.probability(rows))", GATE),
    # on which rows
    Mutant("evaluation on training rows", "promotion/gate.py",
           "rows = dataset.holdout_rows()", "rows = dataset.training_rows()", GATE),
    Mutant("metrics on training rows", "training/candidate.py",
           "rows = dataset.holdout_rows()\n    entities", "rows = dataset.training_rows()\n    entities", CANDIDATE),
    Mutant("the holdout trains", "features/training_dataset.py", " & (frame[HOLDOUT] == holdout)", "", DATASET),
    Mutant("the candidate is fitted on everything", "training/candidate.py",
           "rows = dataset.training_rows()\n    key", "rows = dataset.frame\n    key", CANDIDATE),
    Mutant("rows that the candidate saw stay", "promotion/evidence.py",
           "kept = ~self.candidate_saw", "kept = np.ones_like(self.candidate_saw)", EVIDENCE),
    Mutant("rows that production saw stay", "promotion/evidence.py",
           "                ~self.production_saw\n", "                True\n", EVIDENCE),
    Mutant("rows dropped on one side", "promotion/evidence.py",
           "np.asarray(self.production[self.sound_rows])",
           "np.asarray(self.production[~self.candidate_saw][: int(self.sound_rows.sum())])", EVIDENCE),
    Mutant("an imported version counts as having seen nothing", "promotion/gate.py",
           "trained_on(entities, production.training_entities) if known else None",
           "trained_on(entities, production.training_entities)", GATE),
    Mutant("rows that the join lost are forgotten", "features/training_dataset.py",
           "if len(frame) != len(spine):", "if len(frame) > len(spine):", DATASET),
    # with which labels
    Mutant("labels shifted by a row for the gate", "promotion/gate.py",
           "labels=rows[LABEL].to_numpy(dtype=bool)", "labels=np.roll(rows[LABEL].to_numpy(dtype=bool), 1)", GATE),
    Mutant("labels shifted by a row in the dataset", "features/training_dataset.py",
           "frame[LABEL] = frame[LABEL].astype(bool)",
           "frame[LABEL] = np.roll(frame[LABEL].to_numpy(dtype=bool), 1)", DATASET),
    # by which rule
    Mutant(">= for > in should_promote", "promotion/criteria/beats_production.py",
           "new_auc > prod_auc + delta", "new_auc >= prod_auc + delta", (BEATS,)),
    Mutant("delta forgotten", "promotion/criteria/beats_production.py",
           "new_auc > prod_auc + delta", "new_auc > prod_auc", (BEATS,)),
    Mutant(">= for > at the interval", "evaluation/statistics.py",
           "return self.low > value", "return self.low >= value", ("evaluation/test_statistics.py", INTERVAL)),
    Mutant("the interval's upper end asked for its lower", "evaluation/statistics.py",
           "return self.low > value", "return self.high > value", ("evaluation/test_statistics.py", INTERVAL)),
    Mutant("the interval on the wrong side", "promotion/criteria/interval_above_zero.py",
           "passes = interval.above(0) or", "passes = interval.below(0) or", (INTERVAL,)),
    Mutant("a worse candidate replaces a version that stands down",
           "promotion/criteria/interval_above_zero.py",
           "evidence.must_replace and not interval.below(0)", "evidence.must_replace",
           ("promotion/test_decision.py", INTERVAL)),
    Mutant("production with columns that have ended", "promotion/gate.py",
           "without_values(rows, dtypes)", "rows", GATE),
    Mutant("an interval of the complementary level", "promotion/evidence.py",
           "self.y, self.ours, self.theirs, self.policy.level, self.keys, self.w",
           "self.y, self.ours, self.theirs, 1 - self.policy.level, self.keys, self.w", EVIDENCE),
    Mutant("pooled rows of one customer taken for several", "promotion/evidence.py",
           "self.y, self.ours, self.theirs, self.policy.level, self.keys, self.w",
           "self.y, self.ours, self.theirs, self.policy.level, None, self.w", EVIDENCE),
    Mutant("the pairing forgotten", "evaluation/comparison.py",
           "_standard_error(our_churners - their_churners, our_stayers - their_stayers)",
           "_standard_error(our_churners, our_stayers)",
           ("evaluation/test_comparison.py",)),
    Mutant("a worse Brier score than the churn rate's passes", "promotion/criteria/stands_on_its_own.py",
           "brier < baseline", "brier > baseline", (CRITERIA.format("stands_on_its_own"),)),
    Mutant("back in time", "promotion/criteria/newer_than_production.py",
           "fromisoformat(ours) < dt", "fromisoformat(ours) > dt", (CRITERIA.format("newer_than_production"),)),
    Mutant("turned-over labels promote by themselves", "promotion/decision.py",
           "asks = bool(doubted) or evidence.policy.mode", "asks = evidence.policy.mode", (PLAUSIBLE,)),
    Mutant("a model at chance taken for turned-over labels", "features/labels.py",
           "return low <= high < CHANCE", "return low < CHANCE", (PLAUSIBLE,)),
    # the holdout
    Mutant("another salt every month", "features/training_dataset.py",
           "in_holdout(frame[contract.entity.column], policy.salt,",
           "in_holdout(frame[contract.entity.column], policy.salt + str(window.training[-1]),", DATASET),
    Mutant("the salt forgotten", "features/training_dataset.py",
           "hashes = key_hashes(entities, salt)", "hashes = key_hashes(entities)", DATASET),
    # scores
    Mutant("NaN passes as a probability", "promotion/evidence.py",
           "(~((scores >= 0) & (scores <= 1))).sum()", "((scores < 0) | (scores > 1)).sum()", EVIDENCE),
    Mutant("NaN compared as an AUC", "promotion/criteria/beats_production.py",
           "if not all(math.isfinite(value)", "if any(math.isinf(value)", (BEATS,)),
    Mutant("the probability of the wrong class", "training/model.py",
           "predict_proba(columns)[:, 1])", "predict_proba(columns)[:, 0])",
           ("training/test_model.py",)),
    Mutant("the classes in the wrong order", "training/estimator.py",
           "np.column_stack([1 - churn, churn])", "np.column_stack([churn, 1 - churn])", ("training/test_estimator.py",)),
    # the fit
    Mutant("calibration fitted on the holdout", "training/candidate.py", FIT, REFIT_SIGMOID, CANDIDATE),
    Mutant("threshold chosen on the holdout", "training/candidate.py", FIT, RESET_THRESHOLD, CANDIDATE),
    Mutant("calibration fitted on the rows of the fit", "training/estimator.py",
           "fold = self._fitted(X[fit_rows], labels[fit_rows])", "fold = self._fitted(X, labels)",
           ("training/test_estimator.py",)),
    Mutant("a customer in several folds", "training/estimator.py",
           "if groups is None or len(np.unique(groups)) == len(groups):", "if len(labels):", ("training/test_estimator.py",)),
    Mutant("the month-older recipe fitted on the newest month", "training/candidate.py",
           "rows = dataset.forward_rows()", "rows = dataset.training_rows()", CANDIDATE),
    # the gate of the gate
    Mutant("only the training labels are shuffled", "training/candidate.py",
           "_looked_up(shuffled, holdout, key).to_numpy(dtype=bool)", "holdout[LABEL].to_numpy(dtype=bool)", CANDIDATE),
    Mutant("a failed self-test passes", "promotion/criteria/self_test.py", "    if faults:", "    if faults and not faults:",
           (SELF_TEST,)),
    Mutant("no comparison is no obstacle", "promotion/criteria/base.py",
           'outcome == "fail" or (self.must_pass and outcome != "pass")', 'outcome == "fail"', (COMPARABLE,)),
    Mutant("one refusal is not enough", "promotion/decision.py",
           '"refused" if refusals else', '"refused" if len(refusals) > 1 else', PROMOTION),
    Mutant("another candidate than the approved one", "promotion/decision.py",
           "if digest != self.candidate_digest:", "if not digest:", PROMOTION),
    # a question that is asked every month
    Mutant("the other convention of alpha spending", "evaluation/sequential.py",
           "inv_cdf(1 - error / 2)", "inv_cdf(1 - error)", SEQUENTIAL),
    Mutant("the error of both sides spent on each", "evaluation/sequential.py",
           "error = (1 - level) / 2", "error = 1 - level", SEQUENTIAL),
    Mutant("what earlier looks spent is spent again", "evaluation/sequential.py",
           "spending(min(share, 1.0), error) - spent", "spending(min(share, 1.0), error)", SEQUENTIAL),
    Mutant("looks taken for independent", "evaluation/sequential.py",
           "distances = (grid[:, None] - sums) / step", "distances = (grid[:, None] - 0 * sums) / scale", SEQUENTIAL),
    Mutant("a boundary of the sum taken for one of z", "evaluation/sequential.py",
           "scale = math.sqrt(share)", "scale = 1.0", SEQUENTIAL),
    Mutant("more information than planned spends more than the error", "evaluation/sequential.py",
           "spending(min(share, 1.0), error)", "spending(share, error)", SEQUENTIAL),
    Mutant("every look has the level of the last", "evaluation/sequential.py",
           "planned[min(look, looks) - 1]", "planned[-1]", SEQUENTIAL),
    Mutant("challengers compared on all months", "monitoring/performance_monitor.py",
           "matured[-policy.verdict.months :]", "matured", ("monitoring/test_performance_monitor.py",)),
    Mutant("challengers of a round do not share the error", "monitoring/challengers.py",
           "(1 - level) / (versions * rounds)", "(1 - level) / rounds", CHALLENGERS),
    Mutant("rounds of challenger evaluation do not share the error", "monitoring/challengers.py",
           "(1 - level) / (versions * rounds)", "(1 - level) / versions", CHALLENGERS),
    Mutant("the gate's level for every challenger", "monitoring/challengers.py",
           "shown(challenger.gain, gate, level=level)", "shown(challenger.gain, gate)", CHALLENGERS),
    Mutant("a blocked challenger does not count", "monitoring/challengers.py",
           "if one.gain is not None and one.gain.churners",
           "if one.gain is not None and not one.blocked and one.gain.churners", CHALLENGERS),
    Mutant("a blocked challenger is proposed", "monitoring/challengers.py",
           "        and not challenger.blocked\n", "", CHALLENGERS),
    # what contacts are worth
    Mutant("class 0 taken for the churner", "contacts/profit.py",
           "np.cumsum(np.where(churned, weights, 0.0)[order])[ends]",
           "np.cumsum(np.where(~churned, weights, 0.0)[order])[ends]", PROFIT),
    Mutant("stayers take no incentive in the EMPC", "contacts/profit.py",
           "spent = contact_cost * contacted + incentive * stayers", "spent = contact_cost * contacted", PROFIT),
    Mutant("the incentive paid only to churners", "contacts/value.py",
           "- terms.contact_cost - terms.incentive", "- terms.contact_cost - terms.incentive * churned", VALUE),
    Mutant("the assumption replaced by a handful of churners", "contacts/profit.py",
           "if saves + failures < least_churners:", "if saves + failures < 1:", PROFIT),
    Mutant("the budget ignores the weights", "contacts/value.py",
           "of_group = np.add.reduceat(weights[order], first)",
           "of_group = np.add.reduceat(np.ones_like(weights), first)", VALUE),
    Mutant("the value of one customer for all", "contacts/value.py",
           "customer_values(value, given.size)[kept], 0.0)",
           "customer_values(value, given.size)[kept].mean(), 0.0)", VALUE),
    Mutant("months of one customer taken for several customers", "contacts/value.py",
           "sums = np.bincount(pd.factorize(self.customers)[0], weights=influence)", "sums = influence", VALUE),
    Mutant("the end of the budget taken for fixed", "contacts/value.py",
           "weights * (share * (profit - at_cut) - per_customer)",
           "weights * (share * profit - value / customers)", VALUE),
    Mutant("the pairing of two rankings forgotten", "contacts/value.py",
           "influence = ours.influence - theirs.influence",
           "influence = np.hypot(ours.influence, theirs.influence)", VALUE),
    # what contacting was worth
    Mutant("the strata forgotten", "contacts/effect.py",
           "_cells(rows.stratum, rows, inside)", "_cells(np.zeros_like(rows.stratum), rows, inside)", EFFECT),
    Mutant("the months pooled", "contacts/effect.py",
           "_cells(rows.month, rows, drawn)", "np.zeros_like(drawn)", EFFECT),
    Mutant("months of different probabilities joined", "contacts/effect.py",
           "np.flatnonzero(rows.probability == probability)", "np.flatnonzero(rows.probability > 0)", EFFECT),
    Mutant("compared as reached, not as assigned", "contacts/assigned.py",
           "assigned=_joined([month.assigned for", "assigned=_joined([month.contacted for", EFFECT),
    Mutant("untouched customers who were contacted are dropped", "contacts/effect.py",
           "whole = comparison_of(listed)",
           "whole = comparison_of(listed.only(listed.assigned | (listed.contacted == 0)))", EFFECT),
    Mutant("assigned customers who were not reached are dropped", "contacts/effect.py",
           "whole = comparison_of(listed)",
           "whole = comparison_of(listed.only(~listed.assigned | (listed.contacted == 1)))", EFFECT),
    Mutant("the first listing of a customer alone is compared", "contacts/effect.py",
           "listed = rows_of(months)",
           "listed = rows_of(months)\n    listed = listed.only(~pd.Series(listed.customer).duplicated().to_numpy())", EFFECT),
    Mutant("customers in two arms are left out", "contacts/effect.py", "whole = comparison_of(listed)",
           "both = np.intersect1d(listed.customer[listed.assigned], listed.customer[~listed.assigned])\n"
           "    whole = comparison_of(listed.only(~np.isin(listed.customer, both)))", EFFECT),
    Mutant("the listings of one customer taken for several customers", "contacts/effect.py",
           "sums = np.bincount(self.rows.customer, weights=parts)", "sums = parts", EFFECT),
    Mutant("the spread divided by n", "contacts/effect.py", "sizes * (sizes - 1.0)", "sizes * (sizes - 0.0)", EFFECT),
    Mutant("the effect of the untouched", "contacts/effect.py",
           "self.mean(outcome, ~assigned) - self.mean(outcome, assigned)",
           "self.mean(outcome, assigned) - self.mean(outcome, ~assigned)", EFFECT),
    Mutant("a verdict on arms that are not as drawn", "contacts/effect.py", "if doubts:", "if doubts and effect is None:", EFFECT),
    Mutant("harm not said", "contacts/effect.py", "effect.interval.below(0)", "effect.interval.below(-1)", EFFECT),
    Mutant("shown while the interval holds 0", "contacts/effect.py", "effect.interval.above(0)", "effect.value > 0", EFFECT),
    Mutant("an interval of a handful of churners", "contacts/effect.py",
           "min(churners, untouched.size - churners) >= FEWEST_OF_A_KIND", "untouched.size >= FEWEST_OF_A_KIND", EFFECT),
    Mutant("the untouched counted as saved", "contacts/effect.py",
           "treated = int(assigned.sum())", "treated = rows.size", EFFECT),
    Mutant("money without the cost of contacts", "contacts/effect.py", "critical, less=spent)", "critical)", EFFECT),
    Mutant("a mean value for every saved customer", "contacts/effect.py",
           "rows.churned * rows.value", "rows.churned * rows.value.mean()", EFFECT),
    Mutant("the contacted untouched forgotten in the complier effect", "contacts/effect.py",
           "reach = -self.difference(contacted)", "reach = self.mean(contacted, self.rows.assigned)", EFFECT),
    Mutant("reach taken for known in the complier effect", "contacts/effect.py", " - value * reach_parts)", ")", EFFECT),
    Mutant("many slices at the level of one", "contacts/effect.py",
           "shared_critical(critical, len(groups))", "shared_critical(critical, 1)", EFFECT),
    Mutant("an action compared with all untouched", "contacts/effect.py", ", like_assigned=True)", ")", EFFECT),
    Mutant("the sample ratio blind to strata", "contacts/assigned.py",
           "in_strata = _chi_square(cells, rows)", "in_strata = overall", EFFECT),
    Mutant("two tests at the level of one", "contacts/effect.py",
           "SAMPLE_RATIO_LEVEL = 0.001 / 2", "SAMPLE_RATIO_LEVEL = 0.001", EFFECT),
    Mutant("later months forgotten in the plan", "contacts/planning.py",
           "rows = self.listed * months", "rows = self.listed", PLANNING),
    Mutant("the arms of the plan swapped", "contacts/planning.py",
           "(rows * self.untouched_share)", "(rows * (1 - self.untouched_share))", PLANNING),
    Mutant("a plan that waits for ever", "contacts/planning.py", "if months > LONGEST:", "if months < 0:", PLANNING),
    Mutant("a plan without enough untouched churners", "contacts/planning.py",
           "/ needed) ** 2, _fewest_months(design))", "/ needed) ** 2, 0.0)", PLANNING),
    # when uplift may rank
    Mutant("AUTOC on the training months", "contacts/uplift.py",
           "if min(test.tested_on) <= max(test.trained_on):", "if not test.tested_on:", UPLIFT),
    Mutant("one later month is enough", "contacts/uplift.py",
           "min(test.tested_on) <= max(test.trained_on)", "max(test.tested_on) <= max(test.trained_on)", UPLIFT),
    Mutant("the difference asked for its estimate", "contacts/uplift.py",
           "if not test.interval.above(0):", "if test.difference <= 0:", UPLIFT),
    Mutant("better than risk but no better than chance", "contacts/uplift.py",
           "if not test.uplift.interval.above(0):", "if test.uplift.estimate < 0:", UPLIFT),
    Mutant("the observed share for the registered probability", "contacts/uplift.py",
           "        e = rows.probability\n", "        e = np.full(rows.churned.size, rows.assigned.mean())\n", UPLIFT),
    Mutant("the effect turned over", "contacts/uplift.py",
           "unexplained = out_of_fold - rows.churned", "unexplained = rows.churned - out_of_fold", UPLIFT),
    Mutant("few untouched churners do not matter", "contacts/uplift.py",
           "if assigned < least_assigned or untouched < least_untouched:", "if assigned < least_assigned:", UPLIFT),
    Mutant("the gain of each customer counts the same", "contacts/uplift.py",
           "scores = model.doubly_robust_scores(rows) * rows.value", "scores = model.doubly_robust_scores(rows)", UPLIFT),
    Mutant("uplift against risk without value", "contacts/uplift.py",
           "by_risk = risk * rows.value", "by_risk = risk", UPLIFT),
    Mutant("a customer in several folds of the effect model", "contacts/uplift.py",
           "folds: IntArray = of_customer[customers]",
           "folds: IntArray = np.resize(of_customer, customers.size)", UPLIFT),
    Mutant("the ranks taken for fixed", "contacts/uplift.py",
           "(ordered * weight - moved + values.mean() - estimate) / rows",
           "(ordered * weight - estimate) / rows", UPLIFT),
    # what the team sees
    Mutant("the list shows untouched customers", "scoring/contact_list.py",
           "planned[planned[ARM].isin(ASSIGNED)]", 'planned[planned[ARM] != "below"]', CONTACT_LIST),
    Mutant("a gap in the API's ranks shows who is untouched", "scoring/contact_list.py",
           "rank=range(1, len(listed) + 1)", 'rank=listed["rank"]', CONTACT_LIST),
    Mutant("a gap in the list shows who is untouched", "scoring/contact_list.py",
           'pd.Series(range(1, len(listed) + 1), dtype="int64")', 'listed["rank"]', CONTACT_LIST),
)  # fmt: skip
