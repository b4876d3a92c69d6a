// A vendor that is nothing but its own OpenAPI description: 401 without credentials, 400 where the description does not
// allow a parameter or a field, example objects otherwise. Lists come newest first and page like Stripe's, or as `--pages` says.
//
//   node openapi-vendor.mjs --spec FILE [--port 0] [--control-port 0] [--secret TEXT] [--objects 25]
//                           [--root /PATH] [--pages stripe|link|next-url|cursor|page] [--list OPERATION --at NAME]
//                           [--tls-cert FILE --tls-key FILE] [--until-stdin-ends]
//
// stdout: one JSON line when it listens, then one for each request. The control port answers `GET /` with the counts and
// the requests so far, and forgets them on `POST /reset`.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';
import { OpenAPIBackend } from 'openapi-backend';
import qs from 'qs';

const { values: flags } = parseArgs({
  options: {
    spec: { type: 'string' },
    port: { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
    secret: { type: 'string' },
    objects: { type: 'string', default: '25' },
    root: { type: 'string', default: '/' },
    pages: { type: 'string', default: 'stripe' },
    list: { type: 'string' },
    at: { type: 'string' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
    'until-stdin-ends': { type: 'boolean' },
  },
});

// What a request may hold is made strict: the description leaves objects inside `anyOf` open, and a misspelt field in one
// would pass unseen.
function close(schema) {
  if (Array.isArray(schema)) return schema.forEach(close);
  if (schema === null || typeof schema !== 'object') return;
  if (schema.type === 'object' && schema.properties && schema.additionalProperties === undefined) schema.additionalProperties = false;
  Object.values(schema).forEach(close);
}

const spec = JSON.parse(readFileSync(flags.spec, 'utf8'));
const operations = Object.values(spec.paths).flatMap((path) => Object.values(path)).filter((entry) => entry?.operationId);
// Some descriptions say `nullable` of what has no type, which ajv refuses to compile and which says nothing.
function typed(schema) {
  if (schema === null || typeof schema !== 'object') return;
  if (schema.nullable === true && schema.type === undefined) delete schema.nullable;
  Object.values(schema).forEach(typed);
}
typed(spec);

const named = (entry) => (entry?.$ref ? entry.$ref.slice(2).split('/').reduce((at, step) => at[step], spec) : entry);
for (const operation of operations) {
  (operation.parameters ?? []).forEach((parameter) => close(parameter.schema));
  Object.values(named(operation.requestBody)?.content ?? {}).forEach((content) => close(named(content.schema)));
}

// The smallest value that a schema describes: required properties, first alternatives.
function example(schema, depth = 0) {
  if (schema.$ref) return example(spec.components.schemas[schema.$ref.split('/').pop()], depth);
  if (schema.enum) return schema.enum[0];
  if (schema.nullable && depth > 0) return null;
  if (schema.anyOf ?? schema.oneOf) return example((schema.anyOf ?? schema.oneOf)[0], depth);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => example(part, depth)));
  if (schema.type === 'integer' || schema.type === 'number') return 1;
  if (schema.type === 'boolean') return false;
  if (schema.type === 'array') return [];
  if (schema.type === 'string') return 'example';
  if (depth > 6) return {};
  const names = (schema.required ?? []).filter((name) => schema.properties?.[name]);
  return Object.fromEntries(names.map((name) => [name, example(schema.properties[name], depth + 1)]));
}

const PREFIXES = { customer: 'cus', invoice: 'in', charge: 'ch', subscription: 'sub', payment_intent: 'pi', event: 'evt', refund: 're' };
const OLDEST = 1_700_000_000;

// Three objects share each second, so that a reader meets ties.
function object(schema, n, fields = {}) {
  const base = example(schema);
  const id = `${PREFIXES[base.object] ?? base.object ?? 'object'}_${String(n).padStart(6, '0')}`;
  return { ...base, id, ...('created' in base ? { created: OLDEST + Math.floor(n / 3) } : {}), ...fields };
}

function list(schema, query) {
  const since = Number(query.created?.gte ?? 0);
  let all = Array.from({ length: Number(flags.objects) }, (_, n) => object(schema.properties.data.items, n)).reverse();
  all = all.filter((entry) => !('created' in entry) || entry.created >= since);
  if (query.starting_after !== undefined) {
    const at = all.findIndex((entry) => entry.id === query.starting_after);
    if (at < 0) return missing('starting_after', query.starting_after);
    all = all.slice(at + 1);
  }
  const limit = Number(query.limit ?? 10);
  return [200, { ...example(schema), data: all.slice(0, limit), has_more: all.length > limit }];
}

const fault = (status, error) => [status, { error: { type: 'invalid_request_error', ...error } }];
const missing = (param, id) => fault(400, { code: 'resource_missing', param, message: `No such object: '${id}'` });

// The other ways that lists go on, of objects that have a number. Each page says of itself what its vendor's would.
const WAYS = {
  link: { size: 'per_page', at: 'page', start: (token, size) => (Number(token ?? 1) - 1) * size },
  'next-url': { size: 'limit', at: 'cursor', start: (token) => Number(token?.slice(1) ?? 0) },
  cursor: { size: 'pageSize', at: 'pageToken', start: (token) => Number(token?.slice(1) ?? 0) },
  page: { size: 'PageSize', at: 'Page', start: (token, size) => Number(token ?? 0) * size },
};

function numbered(c) {
  const { query, path } = c.request;
  const way = WAYS[flags.pages];
  const size = Number(query[way.size] ?? 10);
  const start = way.start(query[way.at], size);
  const end = Math.min(start + size, Number(flags.objects));
  const records = Array.from({ length: Math.max(end - start, 0) }, (_, n) => ({ id: start + n + 1 }));
  const more = end < Number(flags.objects);
  const to = (token) => qs.stringify({ ...query, [way.at]: token });
  if (flags.pages === 'link') return [200, records, more ? { link: `<?${to(Number(query.page ?? 1) + 1)}>; rel="next", <?page=9>; rel="last"` } : {}];
  const next = `c${end}`;
  const told = { 'next-url': { _links: more ? { next: `${path}?${to(next)}` } : {} }, cursor: more ? { nextPageToken: next } : {} };
  return [200, { [flags.at]: records, ...told[flags.pages] }];
}

let made = 100_000;
function answer(c) {
  if (c.operation.operationId === flags.list) return numbered(c);
  if (flags.pages !== 'stripe') {
    const [status] = Object.keys(c.operation.responses).filter((status) => status.startsWith('2'));
    return [Number(status), { id: (made += 1), ...c.request.requestBody }];
  }
  const schema = c.operation.responses['200'].content['application/json'].schema;
  if (schema.properties?.data?.type === 'array') return list(schema, c.request.query);
  const fields = Object.fromEntries(Object.entries(c.request.requestBody ?? {}).filter(([name]) => name !== 'expand'));
  const id = Object.values(c.request.params)[0];
  return [200, object(schema, (made += 1), id ? { ...fields, id } : fields)];
}

function authorised(c) {
  const sent = c.request.headers.authorization ?? '';
  if (!flags.secret) return /^(Bearer|Basic) \S+$/.test(sent);
  const [scheme, value] = sent.split(' ');
  const plain = scheme === 'Basic' ? Buffer.from(value ?? '', 'base64').toString().replace(/:$/, '') : value;
  return ['Bearer', 'Basic'].includes(scheme) && plain === flags.secret;
}

const explain = (errors) => (errors ?? []).map((e) => `${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`).join('; ');
const api = new OpenAPIBackend({
  definition: spec,
  apiRoot: flags.root,
  quick: true,
  // A form holds text alone.
  ajvOpts: { strict: false, coerceTypes: true, allErrors: true, logger: false },
  handlers: {
    ...Object.fromEntries(operations.map((operation) => [operation.operationId, answer])),
    validationFail: (c) => fault(400, { code: 'parameter_unknown', message: explain(c.validation.errors) }),
    notFound: (c) => fault(404, { message: `Unrecognized request URL (${c.request.method}: ${c.request.path})` }),
    methodNotAllowed: () => fault(405, { message: 'Method not allowed' }),
    unauthorizedHandler: () => fault(401, { message: 'You did not provide an API key' }),
  },
  securityHandlers: Object.fromEntries(Object.keys(spec.components.securitySchemes ?? {}).map((name) => [name, authorised])),
});
await api.init();

const seen = [];
const VERDICTS = { 400: 'rejected', 401: 'unauthorised', 404: 'rejected', 405: 'rejected' };
async function serve(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const url = new URL(request.url, 'http://vendor');
  const form = /^application\/x-www-form-urlencoded/.test(request.headers['content-type'] ?? '');
  const body = text === '' ? undefined : form ? qs.parse(text, { depth: 10, arrayLimit: 1000 }) : text;
  let status, answered, headers;
  try {
    [status, answered, headers] = await api.handleRequest({
      method: request.method,
      path: url.pathname,
      query: qs.parse(url.search.slice(1)),
      headers: request.headers,
      body,
    });
  } catch (error) {
    [status, answered] = fault(500, { message: String(error?.stack ?? error) });
  }
  const missed = answered?.error?.code === 'resource_missing';
  const entry = {
    method: request.method,
    url: request.url,
    body: text,
    'idempotency-key': request.headers['idempotency-key'] ?? null,
    status,
    verdict: missed ? 'accepted' : status >= 500 ? 'failed' : (VERDICTS[status] ?? 'accepted'),
    ...(answered?.error ? { error: answered.error.message } : {}),
  };
  seen.push(entry);
  process.stdout.write(`${JSON.stringify(entry)}\n`);
  response.writeHead(status, { 'content-type': 'application/json', 'request-id': `req_${seen.length}`, ...headers });
  // As Stripe prints it: over several lines.
  response.end(JSON.stringify(answered, null, 2));
}

function control(request, response) {
  if (request.method === 'POST') seen.length = 0;
  const counts = { accepted: 0, rejected: 0, unauthorised: 0, failed: 0 };
  seen.forEach((entry) => (counts[entry.verdict] += 1));
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ ...counts, requests: seen }));
}

const listen = (server, port) => new Promise((resolve) => server.listen(Number(port), '127.0.0.1', () => resolve(server.address().port)));
const tls = flags['tls-cert'] && { cert: readFileSync(flags['tls-cert']), key: readFileSync(flags['tls-key']) };
const port = await listen(tls ? https.createServer(tls, serve) : http.createServer(serve), flags.port);
const controlPort = await listen(http.createServer(control), flags['control-port']);
process.stdout.write(`${JSON.stringify({ listening: port, control: controlPort })}\n`);
if (flags['until-stdin-ends']) process.stdin.resume().on('end', () => process.exit(0));
