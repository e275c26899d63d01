// The HTML of every page. Pure: from rows to text, no request and no database.
// Times are printed in UTC so that a page is the same wherever it is rendered.

'use strict';

const { html, highlighted } = require('./html');
const { SECTIONS, MARK } = require('./db-utils/articles');
const { LIMITS } = require('./input');
const links = require('./links');

const CLOCK = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' });
const NUMBER = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1 });

const time = (date) => html`<time datetime="${date.toISOString()}">${CLOCK.format(date)} UTC</time>`;
const plural = (n, word) => `${NUMBER.format(n)} ${word}${Number(n) === 1 ? '' : 's'}`;

function layout({ title, current, q = '', body }) {
  const link = (href, name) =>
    html`<li><a href="${href}"${current === href ? html` aria-current="page"` : ''}>${name}</a></li>`;
  const demo = [
    links.live && html`<li class="demo"><a href="${links.live}">Live page of the pools</a></li>`,
    links.panel && html`<li class="demo"><a href="${links.panel}">Cause trouble</a></li>`,
  ];
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header>
<div class="wrap">
<a class="masthead" href="/">The Alder Courier</a>
<form class="find" action="/search" role="search"><input type="search" name="q" value="${q}" maxlength="${LIMITS.q}" placeholder="Search the archive" aria-label="Search the archive"><button>Search</button></form>
</div>
<nav aria-label="Sections"><ul class="wrap">
${link('/', 'Front page')}${SECTIONS.map((name) => link(`/section/${name}`, name))}${link('/reports', 'Reports')}${demo}
</ul></nav>
</header>
<main id="main" class="wrap">
${body}
</main>
<footer><div class="wrap">Every story, name and place here is invented. <a href="/health">Health</a> · <a href="/api/articles">API</a></div></footer>
</body>
</html>
`.toString();
}

const meta = (a) =>
  html`<p class="meta">${a.author} · ${time(a.published_at)}${a.comment_count ? ` · ${plural(a.comment_count, 'comment')}` : ''}</p>`;
const kicker = (a) => html`<a class="kicker" href="/section/${a.section}">${a.section}</a>`;

const card = (a) => html`<article>
${kicker(a)}
<h3><a href="/article/${a.id}">${a.title}</a></h3>
<p>${a.excerpt === undefined ? a.summary : highlighted(a.excerpt, MARK)}</p>
${meta(a)}
</article>
`;

function pager({ page, pageSize, total }, href) {
  const last = Math.max(1, Math.ceil(total / pageSize));
  return html`<div class="pages meta">
<span>${page > 1 && html`<a rel="prev" href="${href(page - 1)}">← Newer</a>`}</span>
<span>Page ${page} of ${last}</span>
<span>${page < last && html`<a rel="next" href="${href(page + 1)}">Older →</a>`}</span>
</div>`;
}

function front({ latest, bySection, mostRead }) {
  const [lead, ...others] = latest;
  const sections = SECTIONS.map((name) => bySection.filter((a) => a.section === name)).filter(
    (list) => list.length > 0,
  );
  return layout({
    title: 'The Alder Courier',
    current: '/',
    body: !lead
      ? html`<h1>No news yet</h1>`
      : html`<div class="front">
<div>
<article class="lead">${kicker(lead)}<h1><a href="/article/${lead.id}">${lead.title}</a></h1><p>${lead.summary}</p>${meta(lead)}</article>
<div class="cards">${others.map(card)}</div>
</div>
<aside><h2 class="section-title">Most read</h2><ol class="ranked">
${mostRead.map(
  (
    a,
  ) => html`<li><div>${kicker(a)}<h3><a href="/article/${a.id}">${a.title}</a></h3><span class="meta">${plural(a.views, 'view')}</span></div></li>
`,
)}</ol></aside>
</div>
${sections.map(
  (
    list,
  ) => html`<section><h2 class="section-title"><a href="/section/${list[0].section}">${list[0].section}</a></h2><div class="cards">${list.map(card)}</div></section>
`,
)}`,
  });
}

const section = (name, found) =>
  layout({
    title: `${name[0].toUpperCase()}${name.slice(1)} – The Alder Courier`,
    current: `/section/${name}`,
    body: html`<h1 class="section-title">${name}</h1><p class="count">${plural(found.total, 'article')}</p>
<div class="list">${found.articles.map(card)}</div>${pager(found, (page) => `/section/${name}?page=${page}`)}`,
  });

function search(q, found) {
  const results =
    q &&
    html`<p class="count">${found.total ? plural(found.total, 'result') : 'Nothing found'} for “${q}”</p>
<div class="list">${found.articles.map(card)}</div>
${found.total > 0 && pager(found, (page) => `/search?q=${encodeURIComponent(q)}&page=${page}`)}`;
  return layout({
    title: q ? `“${q}” – Search` : 'Search',
    q,
    body: html`<h1>Search</h1>${results || html`<p>Words, "exact phrases", and -without.</p>`}`,
  });
}

function article({ article: a, comments, related }, form = { values: {}, fields: {} }) {
  const problem = (name) =>
    form.fields[name] && html`<span class="problem">${name} ${form.fields[name]}</span>`;
  return layout({
    title: `${a.title} – The Alder Courier`,
    body: html`<article class="story">
${kicker(a)}<h1>${a.title}</h1>
<p class="summary">${a.summary}</p>
${meta(a)}
${a.body.split(/\n{2,}/).map(
  (paragraph) => html`<p>${paragraph}</p>
`,
)}
<p class="meta">${a.tags.map((tag) => html`<span class="tag">${tag}</span>`)} ${plural(a.views, 'view')}${a.updated_at && html` · updated ${time(a.updated_at)}`}</p>
</article>
<section class="story" id="comments"><h2 class="section-title">${plural(a.comment_count, 'comment')}</h2>
<form class="stack" method="post" action="/article/${a.id}/comments">
<label>Name <input name="author" required maxlength="${LIMITS.author}" value="${form.values.author}">${problem('author')}</label>
<label>Comment <textarea name="body" rows="3" required maxlength="${LIMITS.comment}">${form.values.body}</textarea>${problem('body')}</label>
<button>Publish comment</button>
</form>
${comments.map(
  (
    c,
  ) => html`<div class="comment" id="comment-${c.id}"><span class="meta"><b>${c.author}</b> · ${time(c.created_at)}</span><p>${c.body}</p></div>
`,
)}</section>
<section><h2 class="section-title">More in ${a.section}</h2><div class="cards">${related.map(card)}</div></section>`,
  });
}

// Bars of one series; each carries its figure as a title.
function bars(points) {
  const top = Math.max(1, ...points.map((point) => point.value));
  return html`<svg class="chart" viewBox="0 0 ${points.length * 10} 100" preserveAspectRatio="none" role="img" aria-label="${points[0].label} to ${points.at(-1).label}, at most ${NUMBER.format(top)}">
<line x1="0" x2="${points.length * 10}" y1="99.5" y2="99.5"/>
${points.map((point, i) => html`<rect x="${i * 10 + 1}" width="8" y="${(100 - (point.value / top) * 98).toFixed(1)}" height="${((point.value / top) * 98).toFixed(1)}"><title>${point.label}: ${NUMBER.format(point.value)}</title></rect>`)}
</svg>`;
}

// columns: [heading, cell] or [heading, cell, 'number']
function table(rows, columns) {
  return html`<div class="scroll"><table><thead><tr>${columns.map(([heading, , kind]) => html`<th class="${kind}">${heading}</th>`)}</tr></thead>
<tbody>${rows.map(
    (row) => html`<tr>${columns.map(([, cell, kind]) => html`<td class="${kind}">${cell(row)}</td>`)}</tr>
`,
  )}</tbody></table></div>`;
}

function reports(report, runs) {
  const { totals } = report;
  const figure = (value, name) => html`<span><b>${NUMBER.format(value)}</b>${name}</span>`;
  return layout({
    title: `Report of ${report.day} – The Alder Courier`,
    current: '/reports',
    body: html`<h1>Report of ${report.day}</h1>
<div class="figures meta">${figure(totals.views, 'views')}${figure(totals.articles_read, 'articles read')}${figure(totals.seconds_read || 0, 'seconds on average')}${figure(totals.articles, 'published')}${figure(totals.comments, 'comments')}</div>
<h2 class="section-title">Views a day</h2>${bars(report.days.map((d) => ({ label: d.day, value: d.views })))}
<h2 class="section-title">Views by hour</h2>${bars(report.hours.map((h) => ({ label: `${h.hour}:00`, value: h.views })))}
<h2 class="section-title">Sections, seven days</h2>
${table(report.sections, [
  ['Section', (r) => r.section],
  ['Articles', (r) => r.articles, 'number'],
  ['Views', (r) => NUMBER.format(r.views), 'number'],
  ['Share', (r) => `${r.share} %`, 'number'],
  ['Mean seconds', (r) => r.mean_seconds, 'number'],
  ['90th percentile', (r) => NUMBER.format(r.p90_seconds), 'number'],
])}
<h2 class="section-title">Articles of the day</h2>
${table(report.articles, [
  ['Place', (r) => r.place, 'number'],
  ['Day before', (r) => r.place_before ?? 'new', 'number'],
  ['Article', (r) => html`<a href="/article/${r.id}">${r.title}</a>`],
  ['Views', (r) => r.views, 'number'],
])}
<h2 class="section-title">Authors, thirty days</h2>
${table(report.authors, [
  ['Place', (r) => r.place, 'number'],
  ['Author', (r) => r.name],
  ['Articles', (r) => r.articles, 'number'],
  ['Comments', (r) => r.comments, 'number'],
  ['Views', (r) => NUMBER.format(r.views), 'number'],
])}
<h2 class="section-title">Comments per article</h2>
${table(report.discussion, [
  ['Comments', (r) => (r.from_count === r.to_count ? r.from_count : `${r.from_count} to ${r.to_count}`)],
  ['Articles', (r) => NUMBER.format(r.articles), 'number'],
])}
${
  runs.length > 0 &&
  html`<h2 class="section-title">Nightly runs</h2>
${table(runs, [
  ['Day', (r) => html`<a href="/reports?day=${r.day}">${r.day}</a>`],
  ['Runs', (r) => r.runs, 'number'],
  ['Last run', (r) => time(r.ran_at)],
  ['Views', (r) => r.totals.views, 'number'],
])}`
}`,
  });
}

const problem = (status, message) =>
  layout({
    title: `${status} – The Alder Courier`,
    body: html`<h1>${status === 404 ? 'Not in this edition' : 'Something is wrong'}</h1><p>${message}</p><p><a href="/">Back to the front page</a></p>`,
  });

module.exports = { front, section, search, article, reports, problem };
