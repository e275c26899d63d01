'use strict';

// What the services on Express and on Fastify do alike.

const { ask } = require('./serving');

/** Declares the tests of a service. `url()` is where it is, once it is there. */
function testArticles(url) {
  const get = (route) => ask(url() + route);
  const post = (route, body) => ask(url() + route, body);

  test('an article is written, read and commented on', async () => {
    const { status, body } = await post('/articles', { section: 'science', title: 'Rust' });
    expect([status, body]).toEqual([
      201,
      { id: expect.any(Number), section: 'science', title: 'Rust', comments: 0 },
    ]);
    const comment = await post(`/articles/${body.id}/comments`, { body: 'first' });
    expect([comment.status, comment.body]).toEqual([
      201,
      { id: expect.any(Number), article: body.id, body: 'first' },
    ]);
    expect((await get(`/articles/${body.id}`)).body).toEqual({ ...body, comments: 1 });
  });

  test('what does not exist and what makes no sense is told', async () => {
    expect((await get('/articles/999999')).status).toBe(404);
    expect((await get('/articles/many')).status).toBe(400);
    expect((await get('/articles/99999999999')).status).toBe(400);
    expect((await post('/articles', { section: 'science' })).status).toBe(400);
    expect((await fetch(`${url()}/articles`, { method: 'POST' })).status).toBe(400);
    const halved = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"section":' };
    expect((await fetch(`${url()}/articles`, halved)).status).toBe(400);
    expect((await post('/articles/999999/comments', { body: 'lost' })).status).toBe(404);
  });
}

module.exports = { testArticles };
