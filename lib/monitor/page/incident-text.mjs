// The incident of a pool in words: since when, why, and what the pool did about it; or that it is over.

import { amount, duration, number, time } from './format.mjs';

const ACTIONS = {
  connectFailures: 'connects failed',
  opened: 'connections made',
  breakerRejected: 'requests rejected by the breaker',
  retries: 'retries',
  retriesDenied: 'retries refused by the retry budget',
  timeouts: 'requests waited too long',
  failovers: 'changes of host',
};
// Causes of an alert that the incident tells by itself.
const TOLD_ALREADY = ['connecting fails', 'the circuit breaker'];

const ruleOf = (rule) => rule.replace('_', ' ');

function actionsOf(counts) {
  const done = Object.entries(ACTIONS).filter(([name]) => counts[name] > 0);
  return done.map(([name, text]) => `${number(counts[name])} ${text}`);
}

/** `{ title, reasons, actions, isWorking }` of an incident that goes on. */
export function incidentText({ incident, waiting, oldestWait }, now) {
  const { workingSince, since } = incident;
  return {
    isWorking: workingSince !== null,
    title:
      workingSince === null
        ? `Trouble since ${time(since)} (${duration(now - since)})`
        : `Works again since ${time(workingSince)}, after ${duration(workingSince - since)}; its alert clears when all is calm for a while`,
    reasons: reasonsOf(incident),
    actions: [...attemptsOf(incident, now), ...waitersOf(waiting, oldestWait)],
  };
}

function reasonsOf({ workingSince, connectError, breaker, breakerStops, alerts }) {
  const reasons = [];
  if (connectError) reasons.push(`connecting ${workingSince === null ? 'fails' : 'failed'}: ${connectError}`);
  if (breaker !== 'closed') {
    const effect = breakerStops
      ? 'no new connections before the next probe'
      : 'it only counts, no request is stopped';
    reasons.push(`circuit breaker ${breaker}: ${effect}`);
  }
  for (const { rule, value, threshold, unit, since, causes } of alerts) {
    const limit =
      threshold === undefined
        ? ''
        : `: ${amount(value, unit)}, limit ${amount(threshold, unit)}, since ${time(since)}`;
    const others = causes.filter((text) => !TOLD_ALREADY.some((told) => text.startsWith(told)));
    reasons.push(`alert ${ruleOf(rule)}${limit}`, ...others.map((text) => `  ${text}`));
  }
  return reasons;
}

function attemptsOf({ workingSince, connectError, breaker, breakerStops, nextProbe, actions }, now) {
  const done = actionsOf(actions);
  const isStopped = breakerStops && breaker !== 'closed';
  if (workingSince !== null || !(connectError || isStopped)) return done;
  const probe = nextProbe > now ? `next probe in ${duration(nextProbe - now)}` : 'next probe now';
  return ['reconnecting', ...done, ...(nextProbe && breakerStops ? [probe] : [])];
}

function waitersOf(waiting, oldestWait) {
  return waiting > 0 ? [`${waiting} requests wait, the oldest for ${duration(oldestWait ?? 0)}`] : [];
}

/** The lines of an incident that is over. */
export function recoveryText({ since, endedAt, connectError, rules, actions }) {
  const reasons = rules.map((rule) => `alert ${ruleOf(rule)}`);
  if (connectError) reasons.unshift(`connecting failed: ${connectError}`);
  const title = `Recovered at ${time(endedAt)}, after ${duration(endedAt - since)} (since ${time(since)})`;
  return [title, reasons.join(', '), actionsOf(actions).join(', ')].filter(Boolean);
}
