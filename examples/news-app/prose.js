// Invented news: deterministic text for the seed and the load. Every place,
// person and company in it is made up.

'use strict';

// mulberry32: small, fast, and the same sequence on every machine.
function randomFrom(seed) {
  let state = seed >>> 0;
  return function random() {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const pick = (random, list) => list[Math.floor(random() * list.length)];

function shuffled(random, list) {
  const order = [...list];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

const FIRST = [
  'Ada',
  'Bruno',
  'Carla',
  'Dmitri',
  'Elif',
  'Farid',
  'Greta',
  'Hugo',
  'Ines',
  'Jonas',
  'Kaori',
  'Leif',
  'Mina',
  'Nils',
  'Oriana',
  'Pavel',
  'Ravi',
  'Sofia',
  'Tomas',
  'Yara',
];
const LAST = [
  'Almeida',
  'Bergström',
  'Castellan',
  'Dubrov',
  'Eriksen',
  'Falk',
  'Grünwald',
  'Hartono',
  'Ivers',
  'Jansen',
  'Kovač',
  'Lindqvist',
  'Mbeki',
  'Novak',
  'Okafor',
  'Prescott',
  'Quist',
  'Romero',
  'Šimek',
  'Tanaka',
];
const PLACES = [
  'Port Alder',
  'Lindmere',
  'Castra',
  'Northaven',
  'Vale of Orrin',
  'Sankt Emmer',
  'Belmora',
  'Tarn Bridge',
  'Quillon',
  'Eastmarch',
  'Novi Brod',
  'Halden Bay',
];

const SUBJECTS = {
  world: [
    'border talks',
    'the harbour treaty',
    'aid convoys',
    'the ferry line',
    'observer missions',
    'grain shipments',
    'the refugee charter',
    'the mountain pass',
  ],
  politics: [
    'the budget vote',
    'coalition talks',
    'the housing bill',
    'electoral reform',
    'the ethics inquiry',
    'the transport plan',
    'a recount',
    'the data law',
  ],
  business: [
    'the merger',
    'quarterly earnings',
    'the steel order',
    'interest rates',
    'the pension fund',
    'shipping costs',
    'the dockworkers contract',
    'a bond sale',
  ],
  technology: [
    'the chip plant',
    'open databases',
    'connection pools',
    'the satellite network',
    'battery recycling',
    'speech models',
    'quantum clocks',
    'the payment outage',
  ],
  science: [
    'the deep-sea survey',
    'a gene library',
    'the eclipse',
    'sleep studies',
    'the particle run',
    'a fossil bed',
    'the vaccine trial',
    'gravity maps',
  ],
  climate: [
    'the flood barrier',
    'river levels',
    'the wind auction',
    'forest cover',
    'the drought plan',
    'heat records',
    'the peat fund',
    'coastal erosion',
  ],
  culture: [
    'the opera season',
    'a lost manuscript',
    'the film festival',
    'street murals',
    'the museum wing',
    'a debut novel',
    'the orchestra',
    'folk archives',
  ],
  sport: [
    'the cup final',
    'the marathon',
    'a transfer record',
    'the relay team',
    'the cycling tour',
    'the chess open',
    'the rowing eights',
    'the winter games',
  ],
};

const TITLES = [
  (s, p) => `${p} puts ${s} to the test`,
  (s, p) => `What ${p} leaves unsaid about ${s}`,
  (s, p) => `${capital(s)}: what changes in ${p} this week`,
  (s, p, n) => `${n}: “${capital(s)} cannot wait”`,
  (s, p) => `Quiet progress on ${s} as ${p} looks elsewhere`,
  (s, p, n) => `${n} returns to ${p} over ${s}`,
  (s, p) => `Five figures that explain ${s} in ${p}`,
  (s, p) => `${p} delays decision on ${s} & asks for patience`,
];

const SENTENCES = [
  (s, p) => `Officials in ${p} said on Tuesday that ${s} would be reviewed before the end of the month.`,
  (s, p, n) => `“We have been here before,” said ${n}, who has followed ${s} for more than a decade.`,
  (s, p, n, k) =>
    `According to figures seen by this newspaper, costs have risen by ${k} percent since spring.`,
  (s, p) => `Residents of ${p} are divided: some call it overdue, others fear what comes next.`,
  (s, p, n, k) => `A survey of ${k * 41} households found that most had heard little about ${s}.`,
  (s, p, n) => `${n} declined to comment on the record but confirmed that several options are being studied.`,
  (s, p) => `Similar plans failed twice in ${p}, first for lack of money and later for lack of votes.`,
  (s) => `Independent experts caution that early numbers on ${s} are easily misread.`,
  (s, p, n, k) =>
    `The next hearing is expected in ${2 + (k % 7)} weeks, and both sides have asked for an open session.`,
  (s, p) => `For now, the mood in ${p} is one of cautious relief rather than celebration.`,
  (s, p, n) => `${n} put it more plainly: nobody wants to be the first to move.`,
  (s, p, n, k) => `Work could begin within ${k} days, provided that the remaining permits arrive on time.`,
];

const REMARKS = [
  'Finally somebody writes about this.',
  'I was there, and it was not like that at all.',
  'The third paragraph says everything.',
  'Good reporting, thank you.',
  'And who is going to pay for it?',
  'Compare this with what was promised last year…',
  'My grandmother would have disagreed <em>strongly</em>.',
  'Is there a source for the percentage?',
  'More of this, please!',
  'The headline is a little unfair to the people involved.',
  'Reading this from abroad: same story here.',
  'Tom & Mary were right after all.',
];

const TAGS = ['analysis', 'breaking', 'opinion', 'long read', 'interview', 'data', 'local', 'investigation'];

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

const name = (random) => `${pick(random, FIRST)} ${pick(random, LAST)}`;

function article(random, section) {
  const subject = pick(random, SUBJECTS[section]);
  const place = pick(random, PLACES);
  const patterns = shuffled(random, SENTENCES);
  const sentence = () => patterns.pop()(subject, place, name(random), 2 + Math.floor(random() * 37));
  const paragraphs = Array.from({ length: 3 }, () =>
    Array.from({ length: 2 + Math.floor(random() * 2) }, sentence).join(' '),
  );
  const tags = TAGS.filter(() => random() < 0.2);
  return {
    title: pick(random, TITLES)(subject, place, name(random)),
    summary: sentence(),
    body: paragraphs.join('\n\n'),
    tags,
    meta: { place, words: paragraphs.join(' ').split(' ').length, breaking: tags.includes('breaking') },
  };
}

module.exports = { randomFrom, pick, name, article, REMARKS, SUBJECTS, FIRST, LAST };
