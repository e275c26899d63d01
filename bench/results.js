// Every measurement of a run, by scenario, contender and round, and what is
// asked of them: summaries and paired ratios against the reference.
'use strict';

const { summary, pairedRatio } = require('./statistics');

const REFERENCE = 'pg';

class Results {
  constructor() {
    this.measurements = [];
  }

  add(scenario, contender, round, figures) {
    this.measurements.push({ scenario, contender, round, ...figures });
  }

  contendersOf(scenario) {
    return [
      ...new Set(
        this.measurements.filter((one) => one.scenario === scenario).map(({ contender }) => contender),
      ),
    ];
  }

  // Round -> figure. A figure that this platform cannot give is left out.
  byRound(scenario, contender, metric) {
    const rounds = new Map();
    for (const one of this.measurements) {
      if (one.scenario === scenario && one.contender === contender && Number.isFinite(one[metric]))
        rounds.set(one.round, one[metric]);
    }
    return rounds;
  }

  summary(scenario, contender, metric) {
    return summary([...this.byRound(scenario, contender, metric).values()]);
  }

  ratio(scenario, contender, metric) {
    return pairedRatio(this.byRound(scenario, contender, metric), this.byRound(scenario, REFERENCE, metric));
  }
}

module.exports = { Results, REFERENCE };
