<?php

/**
 * Sends conversions to a Twite gateway. One file without dependencies: copy it, or install
 * `twite/client` with Composer.
 *
 *     $twite = new Twite\Client('https://t.shop.example', getenv('TWITE_KEY'));
 *     $twite->send(['event' => 'purchase', 'conversion_id' => 'order-1001', 'value' => '49.90',
 *         'currency' => 'EUR', 'email' => 'shopper@shop.example']);
 */

declare(strict_types=1);

namespace Twite;

use DateTimeInterface;
use InvalidArgumentException;
use JsonException;
use Psr\Http\Client\ClientExceptionInterface;
use Psr\Http\Client\ClientInterface;
use Psr\Http\Message\RequestFactoryInterface;
use Psr\Http\Message\StreamFactoryInterface;
use RuntimeException;
use SensitiveParameter;

/**
 * One fault of a conversion: the field, a code of docs/reference/error-codes.md, and a text.
 */
final class Fault
{
    public function __construct(
        public readonly string $path,
        public readonly string $code,
        public readonly string $message,
    ) {
    }

    /** @return list<self> */
    public static function listOf(mixed $items): array
    {
        $faults = [];
        foreach (is_array($items) ? $items : [] as $item) {
            if (is_array($item)) {
                $faults[] = new self(
                    (string) ($item['path'] ?? ''),
                    (string) ($item['code'] ?? ''),
                    (string) ($item['message'] ?? ''),
                );
            }
        }
        return $faults;
    }
}

/**
 * The gateway's verdicts. Everything that is not in `rejected` is on the gateway's disk.
 *
 * Keys of `suppressed`, `rejected` and `warnings`, and values of `duplicates` and `held`, are indexes
 * of the conversions that were passed. `receipts` are the gateway's ids of the requests.
 */
final class Receipt
{
    /**
     * @param list<string> $receipts
     * @param list<int> $duplicates
     * @param list<int> $held
     * @param array<int, string> $suppressed
     * @param array<int, list<Fault>> $rejected
     * @param array<int, list<Fault>> $warnings
     */
    public function __construct(
        public readonly array $receipts = [],
        public readonly int $accepted = 0,
        public readonly array $duplicates = [],
        public readonly array $held = [],
        public readonly array $suppressed = [],
        public readonly array $rejected = [],
        public readonly array $warnings = [],
    ) {
    }

    /** Read a response with the status 202 or 422; null if it is not a gateway's. */
    public static function read(string $body, int $offset): ?self
    {
        $response = json_decode($body, true);
        if (!is_array($response) || !is_string($response['receipt'] ?? null) || !is_array($response['rejected'] ?? null)) {
            return null;
        }
        $move = static fn (int $index): int => $offset + $index;
        $suppressed = $rejected = $warnings = [];
        foreach ($response['suppressed_reasons'] ?? [] as $item) {
            $suppressed[$move($item['index'])] = $item['reason'];
        }
        foreach ($response['rejected'] as $item) {
            $rejected[$move($item['index'])] = Fault::listOf($item['errors']);
        }
        foreach ($response['warnings'] ?? [] as $item) {
            $warnings[$move($item['index'])] = Fault::listOf($item['warnings']);
        }
        return new self(
            [$response['receipt']],
            (int) ($response['accepted'] ?? 0),
            array_map($move, $response['duplicate_indexes'] ?? []),
            array_map($move, $response['held_indexes'] ?? []),
            $suppressed,
            $rejected,
            $warnings,
        );
    }

    public function joined(self $other): self
    {
        return new self(
            [...$this->receipts, ...$other->receipts],
            $this->accepted + $other->accepted,
            [...$this->duplicates, ...$other->duplicates],
            [...$this->held, ...$other->held],
            $this->suppressed + $other->suppressed,
            $this->rejected + $other->rejected,
            $this->warnings + $other->warnings,
        );
    }
}

/**
 * The gateway did not store what was passed. No text contains a key or a value of the conversion.
 *
 * `receipt` has the verdicts of earlier requests of the same call: `sendMany` sends 1,000
 * conversions a request.
 */
class TwiteException extends RuntimeException
{
    public ?Receipt $receipt = null;
}

/** The gateway refused the request; a retry would be refused, too. `getCode` is the HTTP status. */
class RequestRefusedException extends TwiteException
{
    /** @param list<Fault> $faults */
    public function __construct(int $status, public readonly array $faults)
    {
        $texts = implode('; ', array_map(static fn (Fault $fault) => $fault->message, $faults));
        parent::__construct("the gateway answered $status: " . ($texts ?: 'no reason given'), $status);
    }
}

/** 401: the source key is missing or unknown. */
final class WrongKeyException extends RequestRefusedException
{
}

/** `send` only: the conversion is invalid. `faults` has each field with its error code. */
final class ConversionRejectedException extends TwiteException
{
    /** @var list<Fault> */
    public readonly array $faults;

    public function __construct(Receipt $receipt)
    {
        $this->receipt = $receipt;
        $this->faults = $receipt->rejected[0] ?? [];
        $texts = array_map(
            static fn (Fault $fault) => $fault->path === '' ? $fault->message : "$fault->path: $fault->message",
            $this->faults,
        );
        parent::__construct('the conversion was rejected: ' . implode('; ', $texts));
    }
}

/**
 * All attempts failed. It is not known what was stored: a later call with the same idempotency key
 * counts nothing twice.
 */
final class GatewayUnavailableException extends TwiteException
{
    public function __construct(
        string $reason,
        public readonly int $attempts,
        public readonly string $idempotencyKey,
    ) {
        parent::__construct("no success after $attempts attempts: $reason");
    }
}

/** Sends one request. Returns [status, headers by lower-case name, body]; throws NoAnswer. */
interface Transport
{
    /**
     * @param array<string, string> $headers
     * @return array{int, array<string, string>, string}
     */
    public function post(string $url, array $headers, string $body): array;
}

/** No answer: a timeout, a lost connection. */
final class NoAnswer extends RuntimeException
{
}

/** Sends by PHP's streams. */
final class StreamTransport implements Transport
{
    /** @param float $timeout seconds without a byte of the answer, and seconds to connect */
    public function __construct(private readonly float $timeout = 10.0)
    {
    }

    public function post(string $url, array $headers, string $body): array
    {
        $lines = [];
        foreach ($headers as $name => $value) {
            $lines[] = "$name: $value";
        }
        $context = stream_context_create(['http' => [
            'method' => 'POST',
            'header' => $lines,
            'content' => $body,
            'timeout' => $this->timeout,
            'ignore_errors' => true,
            'follow_location' => 0,
            'protocol_version' => 1.1,
        ]]);
        $stream = @fopen($url, 'r', false, $context);
        if ($stream === false) {
            throw new NoAnswer('no answer');
        }
        $text = stream_get_contents($stream);
        $data = stream_get_meta_data($stream);
        fclose($stream);
        $head = array_values($data['wrapper_data'] ?? []);
        if ($text === false || $data['timed_out'] || !preg_match('#^HTTP/\S+ (\d{3})#', $head[0] ?? '', $found)) {
            throw new NoAnswer($data['timed_out'] ? 'timeout' : 'no answer');
        }
        $received = [];
        foreach (array_slice($head, 1) as $line) {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            $received[strtolower($name)] = trim($value);
        }
        return [(int) $found[1], $received, $text];
    }
}

/** Sends by a PSR-18 client, which has timeouts of its own and must not follow redirects. */
final class PsrTransport implements Transport
{
    public function __construct(
        private readonly ClientInterface $client,
        private readonly RequestFactoryInterface $requests,
        private readonly StreamFactoryInterface $streams,
    ) {
    }

    public function post(string $url, array $headers, string $body): array
    {
        $request = $this->requests->createRequest('POST', $url)->withBody($this->streams->createStream($body));
        foreach ($headers as $name => $value) {
            $request = $request->withHeader($name, $value);
        }
        try {
            $response = $this->client->sendRequest($request);
            $text = (string) $response->getBody();
        } catch (ClientExceptionInterface | RuntimeException) {
            throw new NoAnswer('no answer');
        }
        $received = [];
        foreach ($response->getHeaders() as $name => $values) {
            $received[strtolower((string) $name)] = implode(', ', $values);
        }
        return [$response->getStatusCode(), $received, $text];
    }
}

/**
 * A client of a gateway. `url` is its address, `key` a source key.
 *
 * After a timeout, a lost connection, 408, 429, 500 and 502 to 504 the same request follows, up to
 * `attempts` in all, after the time in `Retry-After` or an increasing time.
 */
final class Client
{
    // The gateway's limits: 1,000 conversions and 1 MiB a request. Some room is left for the envelope.
    private const MAX_CONVERSIONS = 1000;
    private const MAX_BYTES = 1_000_000;
    // The gateway stored nothing, or it is unknown: the same request may be sent again.
    private const RETRIED = [408, 429, 500, 502, 503, 504];
    private const LONGEST_WAIT = 60.0;
    private const VERSION = '0.1.0';

    private readonly string $endpoint;
    private readonly Transport $transport;

    /** @param float $firstWait the longest first pause between attempts, in seconds; it doubles */
    public function __construct(
        string $url,
        #[SensitiveParameter] private readonly string $key,
        private readonly int $attempts = 5,
        ?Transport $transport = null,
        private readonly float $firstWait = 0.5,
    ) {
        if (!preg_match('~^https?://[^/\s?#@]+~', $url)) {
            throw new InvalidArgumentException("url: use the gateway's address, such as https://t.shop.example");
        }
        if (!preg_match('/^[!-\~]+\z/', $key)) {
            throw new InvalidArgumentException("key: use the source's key, without blanks or line ends");
        }
        if ($attempts < 1) {
            throw new InvalidArgumentException('attempts: use at least 1');
        }
        $this->endpoint = rtrim($url, '/') . '/v1/conversions';
        $this->transport = $transport ?? new StreamTransport();
    }

    /**
     * Send a conversion; return once it is on the gateway's disk.
     *
     * A duplicate or suppressed conversion is no exception. Throws ConversionRejectedException,
     * RequestRefusedException, GatewayUnavailableException; InvalidArgumentException for a value
     * that cannot be sent.
     *
     * @param array<string, mixed> $conversion the fields of docs/reference/http.md
     */
    public function send(#[SensitiveParameter] array $conversion, ?string $idempotencyKey = null): Receipt
    {
        $receipt = $this->request(self::encode($conversion), $idempotencyKey ?? bin2hex(random_bytes(16)), 0);
        if ($receipt->rejected) {
            throw new ConversionRejectedException($receipt);
        }
        return $receipt;
    }

    /**
     * Send conversions, 1,000 a request. Rejected ones are in the receipt.
     *
     * Throws RequestRefusedException and GatewayUnavailableException, with the receipt of the
     * requests before; InvalidArgumentException, before any request, for a value that cannot be sent.
     *
     * @param list<array<string, mixed>> $conversions
     */
    public function sendMany(#[SensitiveParameter] array $conversions, ?string $idempotencyKey = null): Receipt
    {
        $key = $idempotencyKey ?? bin2hex(random_bytes(16));
        $parts = array_map(self::encode(...), array_values($conversions));
        $receipt = new Receipt();
        for ($start = 0; $start < count($parts); $start = $end) {
            $size = 0;
            for ($end = $start; $end < count($parts) && $end - $start < self::MAX_CONVERSIONS; $end++) {
                $size += strlen($parts[$end]) + 1;
                if ($end > $start && $size > self::MAX_BYTES) {
                    break;
                }
            }
            $body = '{"conversions":[' . implode(',', array_slice($parts, $start, $end - $start)) . ']}';
            try {
                $receipt = $receipt->joined($this->request($body, "$key-$start", $start));
            } catch (TwiteException $error) {
                $error->receipt = $receipt;
                throw $error;
            }
        }
        return $receipt;
    }

    /** Shown by var_dump: no key. */
    public function __debugInfo(): array
    {
        return ['endpoint' => $this->endpoint];
    }

    private function request(#[SensitiveParameter] string $body, string $idempotencyKey, int $offset): Receipt
    {
        $headers = [
            'Authorization' => "Bearer $this->key",
            'Content-Type' => 'application/json',
            'Idempotency-Key' => $idempotencyKey,
            'User-Agent' => 'twite-client-php/' . self::VERSION,
            'Connection' => 'close',
        ];
        for ($attempt = 1;; $attempt++) {
            $retryAfter = 0.0;
            try {
                [$status, $received, $text] = $this->transport->post($this->endpoint, $headers, $body);
                $verdict = in_array($status, [202, 422], true);
                $receipt = $verdict ? Receipt::read($text, $offset) : null;
                if ($receipt !== null) {
                    return $receipt;
                }
                if (!$verdict && !in_array($status, self::RETRIED, true)) {
                    $faults = Fault::listOf(json_decode($text, true)['errors'] ?? null);
                    throw $status === 401
                        ? new WrongKeyException($status, $faults)
                        : new RequestRefusedException($status, $faults);
                }
                $reason = "status $status";
                $said = $received['retry-after'] ?? '';
                $retryAfter = preg_match('/^\d{1,6}\z/', $said) ? (float) $said : 0.0;
            } catch (NoAnswer $error) {
                $reason = $error->getMessage();
            }
            if ($attempt >= $this->attempts) {
                throw new GatewayUnavailableException($reason, $attempt, $idempotencyKey);
            }
            $longest = min($this->firstWait * 2 ** ($attempt - 1), self::LONGEST_WAIT);
            // Clients that failed together come back apart.
            $wait = $longest * (0.5 + mt_rand() / mt_getrandmax() / 2);
            usleep((int) (1e6 * max($wait, min($retryAfter, self::LONGEST_WAIT))));
        }
    }

    private static function encode(#[SensitiveParameter] array $conversion): string
    {
        array_walk_recursive($conversion, static function (mixed &$value, string|int $name): void {
            if ($value instanceof DateTimeInterface) {
                $value = $value->format(DateTimeInterface::RFC3339_EXTENDED);
            } elseif (is_float($value) && !is_finite($value)) {
                throw new InvalidArgumentException("$name: not a number");
            }
        });
        if (($conversion['consent'] ?? null) === []) {
            $conversion['consent'] = (object) [];
        }
        try {
            return json_encode(
                $conversion,
                JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE,
            );
        } catch (JsonException) {
            throw new InvalidArgumentException('a text of the conversion is not UTF-8');
        }
    }
}
