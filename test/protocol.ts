/** The grammar line by line, the replies byte by byte, and that no bytes at all upset it. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { isAddress } from '../src/address.ts'
import { BadRequest, SignInNeeded, Unavailable } from '../src/errors.ts'
import {
  failureReply,
  formats,
  parseRequest,
  replies,
  requestMaxBytes,
  type CredentialRequest,
  type Request,
} from '../src/protocol.ts'

const usual: CredentialRequest = {
  kind: 'credential',
  service: 'smtp',
  mailbox: 'me@example.com',
  format: 'xoauth2',
  explain: false,
  refused: false,
  minMs: undefined,
  waitMs: 4_000,
}

/** A line as the name of a test: what is not ASCII would break the runner's own lines. */
function shown(line: string): string {
  return JSON.stringify(line).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`)
}

void t.test('requests', (t) => {
  const requests: Readonly<Record<string, Partial<CredentialRequest>>> = {
    'SMTP me@example.com': {},
    'smtp me@example.com\r': {},
    'sMtP Me@Example.COM': { mailbox: 'Me@Example.COM' },
    'IMAP me@example.com': { service: 'imap' },
    'POP me@example.com': { service: 'pop' },
    'GRAPH me@example.com': { service: 'graph' },
    'EWS me@example.com': { service: 'ews' },
    'GMAIL me@example.com': { service: 'gmail' },
    'TODO me@example.com': { service: 'graph' },
    'constructor me@example.com': { service: 'constructor' },
    'my-Own_1 me@example.com': { service: 'my-own_1' },
    'SMTP,xoauth2 me@example.com': {},
    'SMTP,base64 me@example.com': { format: 'base64' },
    'SMTP,oauthbearer me@example.com': { format: 'oauthbearer' },
    'SMTP,token me@example.com': { format: 'token' },
    'SMTP,json me@example.com': { format: 'json' },
    'SMTP,min=0 me@example.com': { minMs: 0 },
    'SMTP,min=600 me@example.com': { minMs: 600_000 },
    'SMTP,min=99999999999999999999 me@example.com': { minMs: 10_000_000_000 },
    'SMTP,wait=0 me@example.com': { waitMs: 0 },
    'SMTP,wait=60 me@example.com': { waitMs: 60_000 },
    'SMTP,refused me@example.com': { refused: true },
    'SMTP,explain me@example.com': { explain: true },
    'SMTP,explain,wait=4,json,refused,min=90 me@example.com': {
      explain: true,
      format: 'json',
      refused: true,
      minMs: 90_000,
    },
    'SMTP jörg@müller.example': { mailbox: 'jörg@müller.example' },
    "SMTP o'neil+tag=a!b@sub.example-1.com": { mailbox: "o'neil+tag=a!b@sub.example-1.com" },
  }
  for (const [line, differs] of Object.entries(requests))
    t.same(parseRequest(line), { ...usual, ...differs }, shown(line))
  const longest = `${'a'.repeat(254 - '@example.com'.length)}@example.com`
  t.match(parseRequest(`SMTP ${longest}`), { kind: 'credential' }, '254 bytes')
  t.end()
})

void t.test('control requests', (t) => {
  const requests: Readonly<Record<string, Request>> = {
    STATUS: { kind: 'status' },
    'STATUS\r': { kind: 'status' },
    RELOAD: { kind: 'reload' },
    'REFRESH me@example.com': { kind: 'refresh', mailbox: 'me@example.com' },
    'REFRESH *@example.com': { kind: 'refresh', mailbox: '*@example.com' },
  }
  for (const [line, request] of Object.entries(requests))
    t.same(parseRequest(line), request, shown(line))
  t.end()
})

void t.test('malformed requests, and why', (t) => {
  const noAddress = 'the mailbox is no address'
  const noService = 'the service has no such name'
  const lines: Readonly<Record<string, string>> = {
    '': 'a request is a service, a space, and a mailbox',
    SMTP: 'a request is a service, a space, and a mailbox',
    'SMTP,json': 'a request is a service, a space, and a mailbox',
    status: 'a request is a service, a space, and a mailbox',
    'SMTP ': noAddress,
    'SMTP me': noAddress,
    'SMTP  me@example.com': noAddress,
    'SMTP me@example.com ': noAddress,
    'SMTP me@example.com\r\r': noAddress,
    'SMTP me@exam\0ple.com': noAddress,
    'SMTP me@exam\x01ple.com': noAddress,
    'SMTP me@exam\tple.com': noAddress,
    'SMTP me@exam\u0085ple.com': noAddress,
    'SMTP me@exam\u2028ple.com': noAddress,
    'SMTP me@exam\ufffdple.com': noAddress,
    'SMTP me@exam\ud800ple.com': noAddress,
    'SMTP me@x@example.com': noAddress,
    'SMTP .me@example.com': noAddress,
    'SMTP me@example..com': noAddress,
    [`SMTP ${'a'.repeat(255 - '@example.com'.length)}@example.com`]: noAddress,
    'SMTP *@example.com': 'a wildcard is no mailbox',
    'REFRESH ': noService,
    'REFRESH me': noService,
    'REFRESH *@': noService,
    'refresh me@example.com': noService,
    'STATUS me@example.com': noService,
    'reload,json me@example.com': noService,
    ' me@example.com': noService,
    ' SMTP me@example.com': noService,
    '-smtp me@example.com': noService,
    'SM\x00TP me@example.com': noService,
    [`${'s'.repeat(33)} me@example.com`]: noService,
    'SMTP, me@example.com': 'an option is unknown',
    'SMTP,unknown me@example.com': 'an option is unknown',
    'SMTP,JSON me@example.com': 'an option is unknown',
    'SMTP,min me@example.com': 'an option is unknown',
    'SMTP,min= me@example.com': 'an option is unknown',
    'SMTP,min=-1 me@example.com': 'an option is unknown',
    'SMTP,min=1.5 me@example.com': 'an option is unknown',
    'SMTP,refused=1 me@example.com': 'an option is unknown',
    'SMTP,json,token me@example.com': 'a request has one format',
    'SMTP,json,json me@example.com': 'a request has one format',
    'SMTP,wait=61 me@example.com': 'wait is at most 60 seconds',
    'SMTP,min=1,min=1 me@example.com': 'the option min stands twice',
    'SMTP,wait=1,wait=1 me@example.com': 'the option wait stands twice',
    'SMTP,refused,refused me@example.com': 'the option refused stands twice',
    'SMTP,explain,explain me@example.com': 'the option explain stands twice',
    [`SMTP${',json'.repeat(300)} me@example.com`]: 'a request has at most 1024 bytes',
    [`SMTP ${'ü'.repeat(requestMaxBytes / 2)}`]: 'a request has at most 1024 bytes',
  }
  for (const [line, message] of Object.entries(lines)) {
    const request = parseRequest(line)
    if (request.kind === 'malformed') t.equal(request.failure.message, message, shown(line))
    else t.fail(shown(line))
  }
  t.end()
})

void t.test('how a malformed request wants to be answered', (t) => {
  const reply = (line: string) => {
    const request = parseRequest(line)
    return request.kind === 'malformed' ? failureReply(request.failure, request) : 'served'
  }
  const hint = 'write name@domain; xoauthd status lists the accounts'
  t.equal(reply('SMTP,nonsense me@example.com'), '')
  t.equal(reply('SMTP,nonsense,json me@example.com'), jsonOf('an option is unknown'))
  t.equal(reply('SMTP,json me'), jsonOf('the mailbox is no address', hint))
  t.equal(reply('SMTP,explain me'), `ERR bad-request the mailbox is no address | ${hint}\n`)
  t.equal(reply('SMTP,json,explain me'), `ERR bad-request the mailbox is no address | ${hint}\n`)
  t.end()
})

function jsonOf(message: string, hint = ''): string {
  return `{"error":"bad-request","message":"${message}","hint":"${hint}"}\n`
}

void t.test('any bytes are a request or malformed', (t) => {
  const pieces = ['SMTP', ',', 'json', 'min=', 'wait=', ' ', '@', 'me@example.com', '\r', '.', '*']
  let kinds = ''
  for (let seed = 0; seed < 20_000; seed++) {
    // Not Math.random: a failure has to come again.
    const bytes = createHash('sha256').update(String(seed)).digest()
    const text = [...bytes.subarray(0, (bytes[31] ?? 0) % 12)]
      .map((byte) => (byte < 128 ? pieces[byte % pieces.length] : String.fromCharCode(byte - 128)))
      .join('')
    const request = parseRequest(seed % 3 === 0 ? bytes.toString('utf8') : text)
    if (!kinds.includes(request.kind)) kinds += `${request.kind} `
    if (request.kind === 'credential' && !isAddress(request.mailbox)) t.fail(JSON.stringify(text))
    if (request.kind === 'malformed' && !(request.failure instanceof BadRequest)) t.fail(text)
  }
  t.match(kinds, /credential/)
  t.match(kinds, /malformed/)
  t.end()
})

void t.test('replies, to the byte', (t) => {
  const credential = {
    mailbox: 'team@example.com',
    user: 'me@example.com',
    service: 'smtp',
    accessToken: 'ya29.a-token_0',
    expiresAtMs: 1_800_000_000_999,
  }
  const golden: Readonly<Record<(typeof formats)[number], string>> = {
    xoauth2: 'user=me@example.com\x01auth=Bearer ya29.a-token_0\x01\x01',
    base64: 'dXNlcj1tZUBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LmEtdG9rZW5fMAEB',
    oauthbearer: 'n,a=me@example.com,\x01auth=Bearer ya29.a-token_0\x01\x01',
    token: 'ya29.a-token_0',
    json:
      '{"mailbox":"team@example.com","user":"me@example.com","service":"smtp",' +
      '"access_token":"ya29.a-token_0","expires_at":1800000000,"expires_in":60,' +
      '"xoauth2":"user=me@example.com\\u0001auth=Bearer ya29.a-token_0\\u0001\\u0001"}\n',
  }
  for (const format of formats)
    t.equal(replies[format](credential, 1_799_999_940_000), golden[format], format)
  t.equal(
    replies.oauthbearer({ ...credential, user: 'a=b,c=@example.com' }, 0),
    'n,a=a=3Db=2Cc=3D@example.com,\x01auth=Bearer ya29.a-token_0\x01\x01',
    'RFC 5801',
  )
  const late: unknown = JSON.parse(replies.json(credential, 1_800_000_009_000))
  t.match(late, { expires_in: 0 })
  t.equal(
    replies.base64({ ...credential, user: 'jörg@example.com' }, 0),
    Buffer.from('user=jörg@example.com\x01auth=Bearer ya29.a-token_0\x01\x01').toString('base64'),
  )
  t.end()
})

void t.test('replies that tell of a failure', (t) => {
  const failure = new SignInNeeded('the grant\nis dead', { hint: 'run: xoauthd login me' })
  for (const format of formats.filter((name) => name !== 'json'))
    t.equal(failureReply(failure, { format, explain: false }), '', `${format}: zero bytes`)
  for (const format of formats)
    t.equal(
      failureReply(failure, { format, explain: true }),
      'ERR sign-in-needed the grant is dead | run: xoauthd login me\n',
    )
  t.equal(
    failureReply(failure, { format: 'json', explain: false }),
    '{"error":"sign-in-needed","message":"the grant is dead","hint":"run: xoauthd login me"}\n',
  )
  t.equal(
    failureReply(new Unavailable('down', { retryAfterMs: 1_001 }), {
      format: 'json',
      explain: false,
    }),
    '{"error":"unavailable","message":"down","hint":"","retry_after":2}\n',
  )
  t.end()
})
