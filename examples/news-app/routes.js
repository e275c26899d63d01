// What each address answers: HTML for readers, JSON under /api. A handler gets
// the request with its checked path and query and returns { status, ... }.

'use strict';

const { promisify } = require('node:util');
const { articles, comments, views, reports, pools } = require('./db-utils');
const { errorLine } = require('./error-lines');
const input = require('./input');
const pages = require('./pages');

const recordView = promisify(views.record);
const mostRead = promisify(views.mostRead);

const REPORT_ROWS = 7;
const notFound = () => new input.BadRequest('no such article', { status: 404 });

const ok = (html) => ({ status: 200, html });
const json = (body, status = 200, headers) => ({ status, json: body, headers });

async function wholeArticle(id) {
  const article = await articles.byId(id);
  if (!article) throw notFound();
  const [remarks, related] = await Promise.all([comments.list(id), articles.related(article)]);
  return { article, comments: remarks, related };
}

async function frontPage() {
  const [latest, bySection, ranked] = await Promise.all([
    articles.list({ pageSize: 9 }),
    articles.latestBySection(3),
    mostRead(8),
  ]);
  return ok(pages.front({ latest: latest.articles, bySection, mostRead: ranked }));
}

async function sectionPage({ match, params }) {
  const name = match[1];
  if (!articles.SECTIONS.includes(name)) throw new input.BadRequest('no such section', { status: 404 });
  return ok(pages.section(name, await articles.list({ section: name, page: input.page(params) })));
}

// A page is served even if it cannot be counted.
async function articlePage({ match, req }) {
  const story = await wholeArticle(input.id(match[1]));
  const view = { seconds: 0, referrer: req.headers.referer ? 'link' : null };
  await recordView(story.article.id, view).catch((err) => errorLine(`view not counted: ${err.message}`));
  return ok(pages.article(story));
}

function sameSite(req) {
  const { origin, host } = req.headers;
  return !origin || origin === `http://${host}` || origin === `https://${host}`;
}

async function commentForm({ match, req }) {
  const id = input.id(match[1]);
  if (!sameSite(req)) throw new input.BadRequest('comments come from this site only', { status: 403 });
  const values = await input.form(req);
  let comment;
  try {
    comment = input.comment(values);
  } catch (err) {
    return { status: 400, html: pages.article(await wholeArticle(id), { values, fields: err.fields }) };
  }
  const added = await comments.add(id, comment);
  if (!added) throw notFound();
  return { status: 303, headers: { location: `/article/${id}#comment-${added.id}` }, html: '' };
}

async function searchPage({ params }) {
  const words = input.words(params);
  const page = input.page(params);
  return ok(pages.search(words, words ? await articles.search(words, { page }) : null));
}

async function reportsPage({ params }) {
  const day = input.day(params.get('day'));
  const [report, runs] = await Promise.all([reports.nightly(day), reports.recentRuns(REPORT_ROWS)]);
  return ok(pages.reports(report, runs));
}

async function listArticles({ params }) {
  const section = input.section(params);
  return json(await articles.list({ section, page: input.page(params), pageSize: input.pageSize(params) }));
}

async function createArticle({ req }) {
  const id = await articles.create(input.newArticle(await input.json(req)));
  return json(await articles.byId(id), 201, { location: `/api/articles/${id}` });
}

async function readArticle({ match }) {
  const article = await articles.byId(input.id(match[1]));
  if (!article) throw notFound();
  return json(article);
}

async function changeArticle({ match, req }) {
  const id = input.id(match[1]);
  if (!(await articles.update(id, input.articleChanges(await input.json(req))))) throw notFound();
  return json(await articles.byId(id));
}

async function listComments({ match, params }) {
  const id = input.id(match[1]);
  const page = input.page(params);
  if (!(await articles.byId(id))) throw notFound();
  return json({ comments: await comments.list(id, { page }), page });
}

async function createComment({ match, req }) {
  const id = input.id(match[1]);
  const added = await comments.add(id, input.comment(await input.json(req)));
  if (!added) throw notFound();
  return json(added, 201);
}

async function searchArticles({ params }) {
  const words = input.words(params);
  if (!words) throw new input.BadRequest('q is required');
  return json(await articles.search(words, { page: input.page(params), pageSize: input.pageSize(params) }));
}

async function runReport({ req }) {
  const body = await input.json(req);
  return json(await reports.runNightly(input.day(body && body.day)), 201);
}

async function health() {
  await pools.high.query('SELECT 1');
  return json({ status: 'ok', pools: pools.counts() });
}

module.exports = [
  ['GET', /^\/$/, frontPage],
  ['GET', /^\/section\/([^/]+)$/, sectionPage],
  ['GET', /^\/article\/([^/]+)$/, articlePage],
  ['POST', /^\/article\/([^/]+)\/comments$/, commentForm],
  ['GET', /^\/search$/, searchPage],
  ['GET', /^\/reports$/, reportsPage],
  ['GET', /^\/health$/, health],
  ['GET', /^\/api\/articles$/, listArticles],
  ['POST', /^\/api\/articles$/, createArticle],
  ['GET', /^\/api\/articles\/([^/]+)$/, readArticle],
  ['PATCH', /^\/api\/articles\/([^/]+)$/, changeArticle],
  ['GET', /^\/api\/articles\/([^/]+)\/comments$/, listComments],
  ['POST', /^\/api\/articles\/([^/]+)\/comments$/, createComment],
  ['GET', /^\/api\/search$/, searchArticles],
  ['GET', /^\/api\/trending$/, async () => json({ articles: await mostRead(20) })],
  [
    'GET',
    /^\/api\/reports\/nightly$/,
    async ({ params }) => json(await reports.nightly(input.day(params.get('day')))),
  ],
  ['POST', /^\/api\/reports\/nightly$/, runReport],
];
