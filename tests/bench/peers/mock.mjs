// A list like Stripe's, rendered before the first request: what a page costs here must not hide what it costs a reader.
// Plain HTTP/1.1 over TLS, nothing compressed. A request without the key is refused.
//
//   node mock.mjs --records N --page N --tls-cert FILE --tls-key FILE
//
// stdout: one JSON line with its port. It ends when stdin does.
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    records: { type: 'string' },
    page: { type: 'string' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
  },
});
const records = Number(flags.records);
const size = Number(flags.page);
const KEY = 'Bearer sk_test_portcullis_bench_000000';

const id = (index) => `cus_${String(index).padStart(14, '0')}`;

// Newest first, as Stripe lists.
function record(index) {
  return JSON.stringify({
    id: id(index),
    object: 'customer',
    balance: index % 1000,
    created: 1700000000 - index,
    currency: 'eur',
    delinquent: index % 7 === 0,
    description: `Customer number ${index} of the bench`,
    email: `customer.${index}@example.com`,
    livemode: false,
    metadata: { order: String(index * 7), plan: 'standard' },
    name: `Ada Lovelace ${index}`,
    phone: null,
    preferred_locales: ['en', 'fr'],
    tax_exempt: 'none',
  });
}

const pages = new Map();
for (let start = 0; start < records; start += size) {
  const end = Math.min(start + size, records);
  const data = Array.from({ length: end - start }, (_, place) => record(start + place)).join(',');
  const text = `{"object":"list","data":[${data}],"has_more":${end < records},"url":"/v1/customers"}`;
  pages.set(start === 0 ? '' : id(start - 1), Buffer.from(text));
}

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

const refused = (text) => Buffer.from(JSON.stringify({ error: { message: text } }));

const server = https.createServer(
  { cert: readFileSync(flags['tls-cert']), key: readFileSync(flags['tls-key']), keepAliveTimeout: 60000 },
  (request, response) => {
    const url = new URL(request.url, 'https://mock');
    const page = pages.get(url.searchParams.get('starting_after') ?? '');
    if (request.headers.authorization !== KEY) {
      answer(response, 401, refused('no such key'));
    } else if (url.pathname !== '/v1/customers' || Number(url.searchParams.get('limit')) !== size || !page) {
      answer(response, 400, refused('no such page'));
    } else {
      answer(response, 200, page);
    }
  },
);
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.on('end', () => process.exit(0)).resume();
