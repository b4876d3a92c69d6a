// TLS in front of a double that speaks plain HTTP.
//
//   node tls-front.mjs --to PORT --tls-cert FILE --tls-key FILE [--port 0] [--until-stdin-ends]
//
// stdout: one JSON line when it listens, then one for each request with the status that the double gave.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    to: { type: 'string' },
    port: { type: 'string', default: '0' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
    'until-stdin-ends': { type: 'boolean' },
  },
});

const agent = new http.Agent({ keepAlive: true });
const tls = { cert: readFileSync(flags['tls-cert']), key: readFileSync(flags['tls-key']) };
const server = https.createServer(tls, (request, response) => {
  const { method, url, headers } = request;
  const done = (status) =>
    process.stdout.write(`${JSON.stringify({ method, url, 'idempotency-key': headers['idempotency-key'] ?? null, status })}\n`);
  const onward = http.request({ agent, host: '127.0.0.1', port: Number(flags.to), method, path: url, headers }, (answer) => {
    done(answer.statusCode);
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', (error) => {
    done(502);
    if (response.headersSent) return response.destroy();
    response.writeHead(502, { 'content-type': 'text/plain' });
    response.end(`the double behind this front does not answer: ${error.code}`);
  });
  request.pipe(onward);
});

server.listen(Number(flags.port), '127.0.0.1', () => process.stdout.write(`${JSON.stringify({ listening: server.address().port })}\n`));
if (flags['until-stdin-ends']) process.stdin.resume().on('end', () => process.exit(0));
