// A server for tests that speaks CouchDB's protocol: express-pouchdb on PouchDB (memory), plus the CouchDB behaviour it lacks.
// usage: node server.js [port] [user] [password]     (loopback only, data in memory only; it ends with its standard input)
'use strict';
const [port, user] = [Number(process.argv[2] || 15984), process.argv[3]];
let pass = process.argv[4];
const PouchDB = require('pouchdb-core')
  .plugin(require('pouchdb-adapter-memory'))
  .plugin(require('pouchdb-mapreduce'))
  .plugin(require('pouchdb-replication'))
  .plugin(require('pouchdb-find'))
  .defaults({ adapter: 'memory' });
require('events').defaultMaxListeners = 0; // one listener per open _changes feed
const express = require('express');
process.stdin.on('end', () => process.exit()).resume();
process.on('unhandledRejection', (e) => console.error('unhandled:', e && e.message)); // node >= 15 would exit

const couch = require('express-pouchdb')(PouchDB, {
  mode: 'fullCouchDB', inMemoryConfig: true,
  overrideMode: { exclude: ['compression', 'disk-size', 'routes/fauxton', 'routes/log', 'routes/http-log', 'logging-infrastructure',
    'routes/authentication', 'routes/authorization', 'routes/session', 'routes/special-test-auth', 'replicator', 'routes/vhosts',
    'routes/cluster-rewrite', 'routes/rewrite'], include: ['routes/session-stub'] } });

const send = (res, code, body) => res.status(code).type('application/json').send(JSON.stringify(body) + '\n');
const err = (res, code, error, reason) => send(res, code, { error, reason });
const open = (name) => new PouchDB(name);
const isDb = async (name) => (await PouchDB.allDbs()).includes(name);
const NAME = /^[a-z][a-z0-9_$()+\/-]*$|^_(users|replicator|global_changes)$/;
const wrap = (f) => (req, res, next) => Promise.resolve(f(req, res, next)).catch((e) => err(res, e.status || 500, e.name || 'error', e.message));

const app = express();
app.disable('x-powered-by'); app.disable('etag');
app.use((req, res, next) => { // CouchDB decodes + in the path as a space
  const [p, ...q] = req.url.split('?');
  req.url = [p.replace(/\+/g, '%20'), ...q].join('?');
  res.set('Server', 'couch-test (PouchDB)');
  next();
});
app.get('/_up', (req, res) => send(res, 200, { status: 'ok', seeds: {} }));
// Sessions and the lock-out of CouchDB 3.4 and later: five wrong passwords, and the account is closed for five minutes.
const sessions = new Map(), wrong = [];
const SESSION = Number(process.env.SESSION_MS || 600000), LOCKED = 300000;
const isLocked = () => wrong.filter((at) => Date.now() - at < LOCKED).length >= 5;
const isRight = (text) => {
  if (isLocked()) return false;
  if (text === `${user}:${pass}`) return true;
  wrong.push(Date.now());
  return false;
};
const locked = (res) => err(res, 403, 'forbidden', 'Account is temporarily locked due to multiple authentication failures');
app.use((req, res, next) => {
  if (!user) return next();
  const [kind, b64] = (req.headers.authorization || '').split(' ');
  if (kind === 'Basic') {
    if (isRight(Buffer.from(b64 || '', 'base64').toString())) return next();
    return isLocked() ? locked(res) : err(res, 401, 'unauthorized', 'Name or password is incorrect.');
  }
  const cookie = /AuthSession=([^;]+)/.exec(req.headers.cookie || '');
  if (cookie && sessions.get(cookie[1]) > Date.now()) return next();
  if (req.path === '/' || (req.path === '/_session' && req.method === 'POST')) return next();
  err(res, 401, 'unauthorized', 'You are not authorized to access this db.');
});
app.post('/_session', express.json({ type: () => true }), (req, res) => {
  if (user && !isRight(`${req.body.name}:${req.body.password}`)) {
    return isLocked() ? locked(res) : err(res, 401, 'unauthorized', 'Name or password is incorrect.');
  }
  const id = require('crypto').randomBytes(16).toString('hex');
  sessions.set(id, Date.now() + SESSION);
  res.set('Set-Cookie', `AuthSession=${id}; Version=1; Path=/; HttpOnly`);
  send(res, 200, { ok: true, name: user || null, roles: ['_admin'] });
});
// For tests: a password that is changed, sessions that are no more, how many passwords were wrong.
app.get('/_test/wrong', (req, res) => send(res, 200, wrong.length));
app.put('/_test/password', express.json({ type: () => true }), (req, res) => {
  pass = req.body.password; sessions.clear(); send(res, 200, { ok: true });
});
app.get('/', (req, res) => send(res, 200, { couchdb: 'Welcome', version: '3.5.0', git_sha: '0000000',
  uuid: 'c0ffee00c0ffee00c0ffee00c0ffee00', features: [], vendor: { name: 'express-pouchdb (not Apache CouchDB)' } }));
app.get('/_session', (req, res) => send(res, 200, { ok: true, userCtx: { name: user || null, roles: ['_admin'] }, info: { authentication_handlers: ['default'] } }));
app.put('/:db', (req, res, next) => NAME.test(req.params.db) ? next() :
  err(res, 400, 'illegal_database_name', `Name: '${req.params.db}'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.`));
const made = new Map(); // when each database was made: CouchDB tells seconds, tests are faster
app.put('/:db', (req, res, next) => { res.on('finish', () => res.statusCode === 201 && made.set(req.params.db, process.hrtime.bigint())); next(); });
const needDb = wrap(async (req, res, next) => await isDb(req.params.db) ? next() : err(res, 404, 'not_found', 'Database does not exist.'));
app.delete('/:db', needDb);
app.get('/:db', (req, res, next) => req.params.db.startsWith('_') ? next() : wrap(async () => {
  if (!await isDb(req.params.db)) return err(res, 404, 'not_found', 'Database does not exist.');
  const i = await open(req.params.db).info();
  send(res, 200, { instance_start_time: String(made.get(req.params.db) || 0), db_name: req.params.db, purge_seq: '0', update_seq: String(i.update_seq),
    sizes: { file: 0, external: 0, active: 0 }, props: {}, doc_del_count: 0, doc_count: i.doc_count, disk_format_version: 8,
    compact_running: false, cluster: { q: 1, n: 1, w: 1, r: 1 } });
})(req, res, next));
app.delete('/:db/:id', needDb, wrap(async (req, res, next) => { // a missing or unknown rev is a conflict
  if (req.params.id.startsWith('_')) return next();
  const rev = req.query.rev || (req.headers['if-match'] || '').replace(/"/g, '');
  const db = open(req.params.db);
  if (rev && await db.get(req.params.id, { rev }).then(() => true, () => false)) return next();
  const known = await db.get(req.params.id, { open_revs: 'all' }).then((r) => r.length > 0, () => false);
  return known ? err(res, 409, 'conflict', 'Document update conflict.') : err(res, 404, 'not_found', 'missing');
}));

const json = express.json({ limit: '64mb', type: () => true });
app.post('/:db/_find', json, needDb, wrap(async (req, res) => { // bookmarks: an offset
  const q = { ...req.body };
  const off = q.bookmark && q.bookmark !== 'nil' ? Number(Buffer.from(q.bookmark, 'base64').toString().slice(2)) : (q.skip || 0);
  if (Number.isNaN(off)) return err(res, 400, 'invalid_bookmark', 'Invalid bookmark value: ' + JSON.stringify(q.bookmark));
  delete q.bookmark; for (const k of ['r', 'update', 'stable', 'stale', 'execution_stats']) delete q[k];
  if (q.limit === undefined) q.limit = 25;
  q.skip = off;
  let r;
  try { r = await open(req.params.db).find(q); }
  catch (e) { return err(res, e.status && e.status < 500 ? e.status : 400, /no_usable_index|Cannot sort/.test(e.message) ? 'no_usable_index' : e.error === true ? e.name : 'bad_request', e.reason || e.message); }
  const bookmark = r.docs.length ? Buffer.from('o:' + (off + r.docs.length)).toString('base64') : 'nil';
  send(res, 200, { ...r, bookmark });
}));
const changes = wrap(async (req, res) => {
  const q = { ...req.query, ...(req.body && req.body.doc_ids ? { doc_ids: req.body.doc_ids } : {}) };
  const num = (v, d) => v === undefined || v === 'true' ? d : Number(v);
  const feed = q.feed || 'normal', limit = q.limit === undefined ? Infinity : Math.max(1, Number(q.limit));
  const opt = { since: q.since === undefined ? 0 : q.since === 'now' ? 'now' : Number(String(q.since).split('-')[0]),
    include_docs: q.include_docs === 'true', conflicts: q.conflicts === 'true', style: q.style || 'main_only' };
  if (req.body && req.body.selector && q.filter === '_selector') opt.selector = req.body.selector;
  if (q.filter === '_doc_ids') opt.doc_ids = q.doc_ids ? (typeof q.doc_ids === 'string' ? JSON.parse(q.doc_ids) : q.doc_ids) : [];
  if (Number.isNaN(opt.since)) return err(res, 400, 'bad_request', 'Malformed sequence supplied in \'since\' parameter.');
  const db = open(req.params.db);
  const one = await db.changes({ ...opt, descending: q.descending === 'true', ...(limit < Infinity ? { limit } : {}) });
  const line = (c) => ({ seq: String(c.seq), id: c.id, changes: c.changes, ...(c.deleted ? { deleted: true } : {}), ...(c.doc ? { doc: c.doc } : {}) });
  if (feed === 'normal' || (feed === 'longpoll' && one.results.length)) {
    // At the most: to read all that is left for each page, and count it, is work that CouchDB does not have.
    const pend = limit < Infinity && !opt.descending ? Math.max(0, (await db.info()).update_seq - one.last_seq) : 0;
    return send(res, 200, { results: one.results.map(line), last_seq: String(one.last_seq), pending: pend });
  }
  if (feed !== 'continuous' && feed !== 'longpoll') return err(res, 400, 'bad_request', 'Supported `feed` types: normal, continuous, longpoll');
  res.status(200).type('application/json');
  let last = one.last_seq, n = 0, live, idle, beat, done = false;
  const finish = () => {
    if (done) return; done = true;
    clearTimeout(idle); clearInterval(beat); if (live) live.cancel();
    res.end(feed === 'longpoll' ? `],\n"last_seq":"${last}","pending":0}\n` : `{"last_seq":"${last}","pending":0}\n`);
  };
  const timeout = Math.min(num(q.timeout, 60000), 60000);
  const rearm = () => { clearTimeout(idle); if (q.heartbeat === undefined) idle = setTimeout(finish, timeout); };
  const emit = (c) => { if (done) return; last = c.seq; n++;
    res.write(JSON.stringify(line(c)) + '\n'); if (feed === 'longpoll' || n >= limit) finish(); else rearm(); };
  if (feed === 'longpoll') res.write('{"results":[\n'); else res.flushHeaders();
  one.results.forEach(emit);
  if (done) return;
  rearm();
  if (q.heartbeat !== undefined) beat = setInterval(() => res.write('\n'), num(q.heartbeat, 60000));
  live = db.changes({ ...opt, since: last, live: true }).on('change', emit).on('error', finish);
  if (done) live.cancel();
  req.on('close', () => {}); res.on('close', () => { done = true; clearTimeout(idle); clearInterval(beat); live.cancel(); });
});
app.get('/:db/_changes', needDb, changes);
app.post('/:db/_changes', json, needDb, changes);
app.use(couch);
const server = app.listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}/`));
server.keepAliveTimeout = 120000;
