'use strict';

// The six fields in which pg's clients keep their state, read by libraries, at each stage of a client's life.

const { alike } = require('./alike');
const { admin, asleep } = require('../support/server');
const { closedPort } = require('../support/ports');
const { until } = require('../support/until');

const FIELDS = ['_connecting', '_connected', '_ending', '_ended', '_connectionError', '_queryable'];

const fieldsOf = (client) => FIELDS.filter((name) => client[name] === true).join(' ');

/** A client that notes its fields at each of its events, and the notes. */
function observed(driver, options) {
  const client = new driver.Client(options);
  const notes = [];
  const note = (stage) => notes.push(`${stage}: ${fieldsOf(client)}`);
  note('new');
  client.on('connect', () => note('connect event'));
  client.on('error', (error) => note(`error event (${error.message})`));
  client.on('end', () => note('end event'));
  return { client, notes, note };
}

function connected(client, note) {
  return new Promise((resolve) => {
    client.connect((error) => {
      note(`connect callback (${error ? (error.code ?? error.message) : 'no error'})`);
      setImmediate(resolve);
    });
    note('connect called');
  });
}

async function observedConnected(driver, options) {
  const observation = observed(driver, options);
  await connected(observation.client, observation.note);
  return observation;
}

const atEnd = (notes) => until(() => notes.some((note) => note.startsWith('end event')));

const terminate = (client) => admin('SELECT pg_terminate_backend($1)', [client.processID]);

/** The notes with the errors of a lost connection, whose number the platforms differ in, as one. */
const settledNotes = (notes) => notes.filter((note, index) => notes.indexOf(note) === index);

alike('a client that connects, runs a query and ends', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  note('connected');
  await client.query('SELECT 1');
  note('after a query');
  const ended = client.end();
  note('end called');
  await ended;
  note('ended');
  await client.end();
  note('ended twice');
  return notes;
});

alike('a client that is ended before it connects', async (driver, config) => {
  const { client, notes, note } = observed(driver, config());
  await client.end();
  note('ended');
  await connected(client, note);
  note('connected');
  await client.end();
  note('ended again');
  return notes;
});

alike('a client that is ended while it connects', async (driver, config) => {
  const { client, notes, note } = observed(driver, config());
  client.connect(() => {});
  const ended = client.end();
  note('end called');
  await ended;
  await atEnd(notes);
  return notes;
});

alike('a client whose server does not listen', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config({ port: await closedPort() }));
  await atEnd(notes);
  await client.end();
  note('ended');
  return notes;
});

alike('a client whose database does not exist', async (driver, config) => {
  const { notes } = await observedConnected(driver, config({ database: 'no_such_database' }));
  await atEnd(notes);
  return notes;
});

alike('a client whose connection is terminated while it is idle', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  await terminate(client);
  await atEnd(notes);
  await client.query('SELECT 1').catch((error) => note(error.message));
  await client.end();
  note('ended');
  return settledNotes(notes);
});

alike('a client whose connection is terminated under a query', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  const query = client.query('SELECT pg_sleep(30)').catch((error) => note(`query failed (${error.code})`));
  await asleep(client.processID);
  await terminate(client);
  await query;
  await atEnd(notes);
  return notes;
});

alike('a client whose stream is destroyed', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  client.connection.stream.destroy();
  note('destroyed');
  await atEnd(notes);
  return notes;
});

alike('a client whose stream is destroyed, and that is ended', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  client.connection.stream.destroy();
  const ended = client.end();
  note('end called');
  await ended;
  await atEnd(notes);
  return notes;
});

alike('a client that is ended, and whose stream is destroyed', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  const ended = client.end();
  client.connection.stream.destroy();
  note('destroyed');
  await ended;
  await atEnd(notes);
  return notes;
});

alike('a client that is ended under a query', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  const query = client.query('SELECT pg_sleep(30)').catch((error) => note(`query failed (${error.message})`));
  await client.end();
  note('ended');
  await query;
  await atEnd(notes);
  return notes;
});

alike('a client whose connection emits an error', async (driver, config) => {
  const { client, notes, note } = await observedConnected(driver, config());
  client.connection.emit('error', new Error('from outside'));
  note('emitted');
  await client.query('SELECT 1').catch((error) => note(error.message));
  await client.end();
  note('ended');
  return settledNotes(notes);
});

alike('a client of a pool', async (driver, config) => {
  const pool = new driver.Pool(config({ max: 1 }));
  const client = await pool.connect();
  const notes = [];
  const note = (stage) => notes.push(`${stage}: ${fieldsOf(client)}`);
  pool.on('remove', () => note('removed'));
  note('lent');
  client.release();
  note('released');
  await pool.connect();
  client.release(new Error('spent'));
  note('released with an error');
  await until(() => notes.at(-1).startsWith('removed'));
  await pool.end();
  note('after the end of the pool');
  return notes;
});

alike('a client of a pool that is released after its connection was terminated', async (driver, config) => {
  const pool = new driver.Pool(config({ max: 1 }));
  const notes = [];
  const client = await pool.connect();
  const note = (stage) => notes.push(`${stage}: ${fieldsOf(client)}`);
  pool.on('error', (error) => note(`error of the pool (${error.message})`));
  pool.on('remove', () => note('removed'));
  client.on('end', () => note('end event'));
  const query = client.query('SELECT pg_sleep(30)').catch((error) => {
    note(`query failed (${error.code})`);
    client.release();
    note('released');
  });
  await asleep(client.processID);
  await terminate(client);
  await query;
  await atEnd(notes);
  const heard = [...notes];
  const { rows } = await pool.query('SELECT 1 AS one');
  await pool.end();
  return [heard, rows];
});
