// Troubles: incidents of one cause are one trouble, however many pools feel it. Its cause comes first, then who feels
// it, what the pools do about it, and what follows from it.

import { amount, counted, duration, time } from './format.mjs';

const ACTIONS = {
  connectFailures: ['connect failed', 'connects failed'],
  opened: ['connection made', 'connections made'],
  breakerRejected: ['request rejected by the breaker', 'requests rejected by the breaker'],
  retries: ['retry', 'retries'],
  retriesDenied: ['retry refused by the retry budget', 'retries refused by the retry budget'],
  timeouts: ['request waited too long', 'requests waited too long'],
  failovers: ['change of host', 'changes of host'],
};
// SQLSTATEs that say something of the server as a whole; any other refusal is a matter of one pool's settings.
const OF_THE_LOGIN = /^(?!08|53|57)[0-9A-Z]{5} /;
const ROOTS = ['server', 'breaker', 'event_loop'];
// Pools notice the end of a trouble one after the other.
const APART_MILLIS = 60000;

const hostsOf = (pool) => pool.breakers.map(({ host }) => host).join(', ');
const ruleOf = (rule) => rule.replace('_', ' ');
const namesOf = (members) => members.map(({ pool }) => pool.name).join(', ');
const sumOf = (members, count) => members.reduce((sum, member) => sum + count(member), 0);
const least = (values) => (values.length > 0 ? Math.min(...values) : null);

function keyOf(pool, { kind, text }) {
  if (kind === 'event_loop') return kind;
  if (kind !== 'server' && kind !== 'breaker') return `pool ${pool.id}`;
  return `server ${hostsOf(pool)} ${OF_THE_LOGIN.test(text) ? text : ''}`;
}

/** Pools by their trouble, in the order of the pools. */
function grouped(pools, incidentOf) {
  const groups = new Map();
  for (const pool of pools) {
    const incident = incidentOf(pool);
    if (!incident) continue;
    const key = keyOf(pool, incident.cause);
    groups.set(key, [...(groups.get(key) ?? []), { pool, incident }]);
  }
  return [...groups.entries()];
}

/** What goes on, as lines: `{ key, title, lines, actions, isWorking }`. */
export function troublesOf(pools, now) {
  return grouped(pools, ({ incident }) => incident).map(([key, members]) => {
    const isWorking = members.every(({ incident }) => incident.workingSince !== null);
    const { title, more } = causeOf(members, isWorking);
    return {
      key,
      title,
      isWorking,
      names: namesOf(members),
      when: isWorking ? endOf(members) : `since ${sinceOf(members, now)}`,
      actions: [...attemptsOf(members, now), ...actionsOf(members), ...waitersOf(members)],
      lines: [...more, ...members.flatMap(alertsOf)],
    };
  });
}

/** What is over for less than `span`: `{ title, when, names, actions }`. */
export function recoveriesOf(pools, now, span) {
  const isRecent = ({ recovered }) => recovered && now - recovered.endedAt < span;
  const current = grouped(pools, ({ incident }) => incident).map(([key]) => key);
  const over = grouped(pools, (pool) => (isRecent(pool) ? pool.recovered : null));
  const ended = over.filter(([key]) => !current.includes(key)).flatMap(([, members]) => atOneTime(members));
  return ended.map((members) => {
    const since = least(members.map(({ incident }) => incident.since));
    const endedAt = Math.max(...members.map(({ incident }) => incident.endedAt));
    return {
      title: `Recovered at ${time(endedAt)}, after ${duration(endedAt - since)}`,
      cause: causeOf(members, true).title,
      names: namesOf(members),
      actions: actionsOf(members),
    };
  });
}

function atOneTime(members) {
  const times = [];
  for (const member of members) {
    const isNear = ([{ incident }]) => Math.abs(incident.endedAt - member.incident.endedAt) < APART_MILLIS;
    const near = times.find(isNear);
    if (near) near.push(member);
    else times.push([member]);
  }
  return times;
}

function causeOf(members, isOver) {
  const { pool, incident } = members[0];
  const { kind, text } = incident.cause;
  if (kind === 'server') {
    const texts = [...new Set(members.map((member) => member.incident.cause.text))];
    const verb = isOver ? 'failed' : 'fails';
    const where = texts[0].includes(hostsOf(pool)) ? '' : ` to ${hostsOf(pool)}`;
    return {
      title: `Connecting${where} ${verb}: ${texts[0]}`,
      more: texts.slice(1).map((other) => `also: ${other}`),
    };
  }
  if (kind === 'breaker') {
    const verb = isOver ? 'was' : 'is';
    return {
      title: `The circuit breaker of ${hostsOf(pool)} ${verb} open${text ? `: ${text}` : ''}`,
      more: [],
    };
  }
  const rules = incident.alerts?.map(({ rule }) => rule) ?? incident.rules;
  const [first, ...more] = (text ?? `Alert ${rules.map(ruleOf).join(', ')}`).split('\n');
  return { title: first[0].toUpperCase() + first.slice(1), more };
}

function sinceOf(members, now) {
  const since = least(members.map(({ incident }) => incident.since));
  return `${time(since)} (${duration(now - since)})`;
}

function endOf(members) {
  const since = least(members.map(({ incident }) => incident.since));
  const working = Math.max(...members.map(({ incident }) => incident.workingSince));
  return `works again since ${time(working)}, after ${duration(working - since)}; alerts clear when all is calm for a while`;
}

function attemptsOf(members, now) {
  const down = members.filter(
    ({ incident }) => incident.workingSince === null && ['server', 'breaker'].includes(incident.cause.kind),
  );
  if (down.length === 0) return [];
  const barring = down.filter(({ incident }) => incident.breakerStops && incident.breaker !== 'closed');
  const probe = least(barring.map(({ incident }) => incident.nextProbe).filter((at) => at !== null));
  if (barring.length === 0) return ['reconnecting'];
  if (probe === null) return ['the circuit breaker is held open'];
  const when = probe > now ? `in ${duration(probe - now)}` : 'now';
  return [`the circuit breaker is open, next probe ${when}`];
}

function actionsOf(members) {
  return Object.entries(ACTIONS).flatMap(([name, [one, many]]) => {
    const count = sumOf(members, ({ incident }) => incident.actions[name]);
    return count > 0 ? [counted(count, one, many)] : [];
  });
}

function waitersOf(members) {
  const waiting = sumOf(members, ({ pool }) => pool.waiting);
  if (waiting === 0) return [];
  const oldest = Math.max(...members.map(({ pool }) => pool.oldestWait ?? 0));
  return [`${counted(waiting, 'request waits', 'requests wait')}, the oldest for ${duration(oldest)}`];
}

function alertsOf({ pool, incident }) {
  return incident.alerts.flatMap(({ rule, value, threshold, unit, since, causes }) => {
    const limit =
      threshold === undefined
        ? ' fires'
        : ` ${amount(value, unit)}, limit ${amount(threshold, unit)}, since ${time(since)}`;
    // Of a pool that is cut off, or of a busy thread, all else is a consequence.
    const isRoot = ROOTS.includes(incident.cause.kind);
    const others = isRoot
      ? []
      : causes.filter(({ kind }) => kind !== incident.cause.kind).map(({ text }) => text);
    return [`alert ${ruleOf(rule)} of ${pool.name}:${limit}`, ...others.slice(0, 1)];
  });
}
