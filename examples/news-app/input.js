// What comes from outside, checked once at the edge: path ids, query strings,
// form fields and JSON bodies. Every refusal is a BadRequest with its status
// and, for bodies, one message per field.

'use strict';

const { SECTIONS, CHANGEABLE } = require('./db-utils/articles');

const MAX_ID = 2147483647;
const MAX_PAGE = 1000;
const MAX_BODY_BYTES = 64 * 1024;
const CUT_OFF_BYTES = 1024 * 1024;

const LIMITS = {
  title: 200,
  summary: 500,
  body: 20000,
  author: 80,
  comment: 2000,
  tag: 40,
  tags: 10,
  q: 200,
};

class BadRequest extends Error {
  constructor(message, { status = 400, fields } = {}) {
    super(message);
    this.name = 'BadRequest';
    this.status = status;
    this.fields = fields;
  }
}

function id(text) {
  const value = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : NaN;
  if (!(value <= MAX_ID)) throw new BadRequest('no such article', { status: 404 });
  return value;
}

function wholeNumber(params, name, fallback, max) {
  const text = params.get(name);
  if (text === null || text === '') return fallback;
  const value = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (!(value >= 1 && value <= max)) throw new BadRequest(`${name} must be a number from 1 to ${max}`);
  return value;
}

const page = (params) => wholeNumber(params, 'page', 1, MAX_PAGE);
const pageSize = (params) => wholeNumber(params, 'pageSize', 20, 100);

function section(params) {
  const name = params.get('section');
  if (name === null || name === '') return null;
  if (!SECTIONS.includes(name)) throw new BadRequest(`section must be one of ${SECTIONS.join(', ')}`);
  return name;
}

function words(params) {
  const text = (params.get('q') || '').trim();
  if (text.length > LIMITS.q) throw new BadRequest(`q must have at most ${LIMITS.q} characters`);
  if (!storable(text)) throw new BadRequest('q contains a character that cannot be searched for');
  return text;
}

function day(text) {
  if (text === null || text === undefined || text === '') return null;
  const time =
    typeof text === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN;
  // 2026-02-30 parses as a day in March; it has to come back as it went in.
  if (Number.isNaN(time) || !new Date(time).toISOString().startsWith(text)) {
    throw new BadRequest('day must be a date such as 2026-03-31');
  }
  return text;
}

// PostgreSQL stores no NUL, and half a surrogate pair is no character.
function storable(text) {
  return (
    !text.includes('\0') &&
    !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)
  );
}

// Checked value by value: JSON.stringify would hide such characters in escapes.
function storableJson(value) {
  if (typeof value === 'string') return storable(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([name, inner]) => storable(name) && storableJson(inner));
}

const CHECKS = {
  section: (value) => !SECTIONS.includes(value) && `must be one of ${SECTIONS.join(', ')}`,
  meta: (value) => {
    const ok = typeof value === 'object' && value !== null && !Array.isArray(value) && storableJson(value);
    return !ok && 'must be an object of storable values';
  },
  tags: (value) => {
    const ok =
      Array.isArray(value) &&
      value.length <= LIMITS.tags &&
      value.every(
        (tag) => typeof tag === 'string' && tag.trim() && tag.length <= LIMITS.tag && storable(tag),
      );
    return !ok && `must be at most ${LIMITS.tags} texts of up to ${LIMITS.tag} characters`;
  },
};

function textProblem(value, limit) {
  if (typeof value !== 'string' || value.trim() === '') return 'is required';
  if (value.length > limit) return `must have at most ${limit} characters`;
  if (!storable(value)) return 'contains a character that cannot be stored';
  return false;
}

function checked(body, names, limits = LIMITS) {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new BadRequest('the body must be an object');
  const fields = {};
  const values = {};
  for (const name of names) {
    const value = body[name];
    const problem = CHECKS[name] ? CHECKS[name](value) : textProblem(value, limits[name]);
    if (problem) fields[name] = problem;
    else values[name] = typeof value === 'string' ? value.trim() : value;
  }
  if (Object.keys(fields).length > 0) {
    const list = Object.entries(fields).map(([name, problem]) => `${name} ${problem}`);
    throw new BadRequest(list.join('; '), { fields });
  }
  return values;
}

function newArticle(body) {
  const optional = ['tags', 'meta'].filter((name) => body && body[name] !== undefined);
  return checked(body, ['section', 'title', 'summary', 'body', 'author', ...optional]);
}

function articleChanges(body) {
  const present = CHANGEABLE.filter((name) => body && body[name] !== undefined);
  if (present.length === 0) throw new BadRequest(`nothing to change: give one of ${CHANGEABLE.join(', ')}`);
  return checked(body, present);
}

const comment = (body) => checked(body, ['author', 'body'], { author: LIMITS.author, body: LIMITS.comment });

// A body over the limit is read to its end and dropped, so that the sender
// gets to see the answer; one far over it is cut off.
function readBody(req) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    req.on('data', (chunk) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else if (size > CUT_OFF_BYTES) req.destroy();
    });
    req.once('end', () => {
      if (size <= MAX_BODY_BYTES) resolve(Buffer.concat(chunks).toString('utf8'));
      else reject(new BadRequest(`the body may have ${MAX_BODY_BYTES} bytes`, { status: 413 }));
    });
    req.once('error', () => reject(new BadRequest('the body did not arrive')));
    req.once('close', () => reject(new BadRequest('the body did not arrive')));
  });
}

const mediaType = (req) => (req.headers['content-type'] || '').split(';')[0].trim().toLowerCase();

async function json(req) {
  if (mediaType(req) !== 'application/json') throw new BadRequest('send application/json', { status: 415 });
  const text = await readBody(req);
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequest('the body is not valid JSON');
  }
}

async function form(req) {
  if (mediaType(req) !== 'application/x-www-form-urlencoded')
    throw new BadRequest('send a form', { status: 415 });
  return Object.fromEntries(new URLSearchParams(await readBody(req)));
}

module.exports = {
  BadRequest,
  LIMITS,
  id,
  page,
  pageSize,
  section,
  words,
  day,
  newArticle,
  articleChanges,
  comment,
  json,
  form,
};
