"""Texts in which nothing is secret, though much looks like it: written for this evaluation."""

from __future__ import annotations

HARD = (
    ("checksums", "SHA256SUMS", "<<sha256>>  shop-<<version>>.tar.gz\n<<sha256>>  token-service-<<version>>.tar.gz\n<<md5>>  secrets.md\n"),
    (
        "lock file",
        "lock.json",
        '{"name": "shop", "lockfileVersion": 3, "packages": {"node_modules/@datadog/browser-core": {"version": "<<version>>",\n'
        '"integrity": "sha512-<<sha512>>"}, "node_modules/jsonwebtoken": {"version": "<<version>>", "integrity": "sha512-<<sha512>>"}}}\n',
    ),
    (
        "lock file",
        "requirements.txt",
        "sendgrid==<<version>> \\\n    --hash=sha256:<<sha256>> \\\n    --hash=sha256:<<sha256>>\nsecretstorage==<<version>> \\\n"
        "    --hash=sha256:<<sha256>>\n",
    ),
    ("lock file", "go.sum", "example.com/auth/token v<<version>> h1:<<b32>>\nexample.com/auth/token v<<version>>/go.mod h1:<<b32>>\n"),
    ("lock file", "Cargo.lock", '[[package]]\nname = "secrecy"\nversion = "<<version>>"\nchecksum = "<<sha256>>"\n'),
    ("lock file", "yarn.lock", 'stripe@^<<version>>:\n  version "<<version>>"\n  integrity sha512-<<sha512>>\n'),
    ("git", "log.txt", "commit <<sha1>>\nAuthor: Ada <ada@example.com>\n\n    Rotate the api key (#<<number>>)\n\n    Reverts <<sha1>>.\n"),
    ("git", "tree.txt", "100644 blob <<sha1>>\t.env.example\n040000 tree <<sha1>>\tsecrets\n160000 commit <<sha1>>\tvendor/token\n"),
    ("git", "pack.txt", "diff --git a/token.py b/token.py\nindex <<short>>..<<short>> 100644\n@@ -1 +1 @@\n-token = None\n+token = read()\n"),
    (
        "workflow",
        "ci.yml",
        "jobs:\n  test:\n    steps:\n      - uses: actions/checkout@<<sha1>> # v<<digit>>\n      - run: ./deploy --token \"$DEPLOY_TOKEN\"\n"
        "        env:\n          DEPLOY_TOKEN: ${{ secrets.DEPLOY_TOKEN }}\n          CACHE_KEY: deps-<<sha256>>\n",
    ),
    (
        "Kubernetes",
        "pod.yaml",
        "metadata:\n  name: token-service-<<hex8>>-x7k2p\n  uid: <<uuid>>\n  annotations: {checksum/secret: <<sha256>>}\nspec:\n"
        "  volumes: [{name: api-key, secret: {secretName: shop-api-key-<<id12>>}}]\n  env:\n    - name: API_KEY\n      valueFrom:\n"
        "        secretKeyRef: {name: shop-api-key-<<id12>>, key: api-key}\n",
    ),
    ("images", "ps.txt", "registry.example.com/vault@sha256:<<sha256>>\nregistry.example.com/datadog-agent@sha256:<<sha256>>\n"),
    ("data URI", "page.html", '<img alt="secret" src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA<<b900>>">\n'),
    ("data URI", "font.css", "@font-face { src: url(data:font/woff2;base64,d09GMgABAAAAA<<b900>>) format('woff2'); }\n"),
    ("certificate", "ca.pem", "-----BEGIN CERTIFICATE-----\nMIIDXTCCAkWgAwIBAgIJ<<b900>>\n-----END CERTIFICATE-----\n"),
    ("public key", "id.pub", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC<<b120>> ada@example.com\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI<<b32>> ada\n"),
    ("public key", "key.pem", "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A<<b120>>\n-----END PUBLIC KEY-----\n"),
    ("public key", "known_hosts", "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI<<b32>>\n|1|<<b32>>|<<b32>> ssh-rsa AAAAB3Nza<<b120>>\n"),
    ("identifiers", "ids.csv", "id,session,trace\n<<uuid>>,<<ulid>>,<<md5>>\n<<uuid>>,<<ulid>>,<<md5>>\nkey,<<nanoid>>,<<hex8>>\n"),
    (
        "identifiers",
        "aws.json",
        '{"VpcId": "vpc-<<hex17>>", "Arn": "arn:aws:secretsmanager:eu-west-1:<<account>>:secret:shop/api-key-<<upper>>",\n'
        '"KeyId": "<<uuid>>", "ImageId": "ami-<<hex17>>", "RequestId": "<<uuid>>", "ETag": "\\"<<md5>>\\""}\n',
    ),
    (
        "identifiers",
        "cloud.tf",
        'resource "aws_kms_key" "token" { description = "signs tokens" }\nmodule "auth" { source = "git::https://example.com/auth.git?ref=<<sha1>>" }\n'
        'secret_id = "projects/acme/secrets/api-key/versions/<<digit>>"\ntenant_id = "<<uuid>>"\nclient_id = "<<uuid>>"\n',
    ),
    ("headers", "http.txt", "ETag: \"<<md5>>\"\nX-Request-Id: <<uuid>>\ntraceparent: 00-<<md5>>-<<hex8>><<hex8>>-01\nContent-MD5: <<b32>>\n"),
    (
        "integrity",
        "index.html",
        '<script src="https://cdn.example.com/stripe-<<version>>.js" integrity="sha384-<<sha512>>" crossorigin="anonymous"></script>\n'
        '<link href="/assets/token.<<hex8>>.css" integrity="sha256-<<b32>>">\n',
    ),
    (
        "minified",
        "app.min.js",
        '!function(e,t){"use strict";var n={token:null,secret:void 0,apiKey:t.apiKey||""};e.auth=function(e){return n.token=e.token,'
        'n.password=e.password,fetch("/v1/token?hash=<<short>>",{headers:{Authorization:"Bearer "+n.token}})}}(this,window);\n'
        "//# sourceMappingURL=app.<<hex8>>.js.map\n",
    ),
    (
        "source map",
        "app.js.map",
        '{"version":3,"sources":["token.ts"],"names":["getToken","apiKey","password"],"mappings":"AAAA,SAASA,SAAS,CAACC,KAAK,EAAEC,QAAQ'
        ',OAAO,GAAGD,KAAK,CAACE,MAAM,CAACC,KAAK,EAAEF"}\n',
    ),
    (
        "fixture",
        "test_auth.py",
        'PASSWORD = "password"\nTOKEN = "token"\nUSER = {"username": "test", "password": "test1234"}\nAPI_KEY = "test-api-key"\n'
        'SECRET = "not-a-real-secret"\nEXPECTED = "<<sha256>>"\nassert login("ada", "wrong-password").status == 401\n',
    ),
    (
        "fixture",
        "spec.js",
        "describe('tokens', () => {\n  const token = 'fake-token';\n  const apiKey = 'my-api-key';\n  const id = '<<uuid>>';\n"
        "  it('hashes', () => expect(hash('secret')).toBe('<<sha256>>'));\n});\n",
    ),
    (
        "source",
        "client.py",
        "def connect(token: str | None = None, password: str = '') -> Client:\n    token = token or os.environ['API_TOKEN']\n"
        "    return Client(token=token, password=getpass.getpass(), secret=settings.SECRET_KEY, api_key=config.get('api_key'))\n",
    ),
    (
        "source",
        "client.go",
        'token, err := os.ReadFile("/var/run/secrets/tokens/api-token")\nreq.Header.Set("Authorization", "Bearer "+token)\n'
        'password := flag.String("password", "", "password of the database")\nif secret == nil { return errors.New("secret not found") }\n',
    ),
    (
        "source",
        "Client.java",
        'private final String apiKey = System.getenv("API_KEY");\n@Value("${shop.client.secret}") private String clientSecret;\n'
        'String password = properties.getProperty("db.password");\nlogger.info("token expires {}", token.getExpiry());\n',
    ),
    (
        "log",
        "build.log",
        "<<time>> INFO token refreshed expires_in=3600 id=<<uuid>>\n<<time>> WARN password authentication failed for user \"ada\"\n"
        "<<time>> DEBUG cache key=<<sha1>> hit=true\n<<time>> INFO uploaded artifact digest=sha256:<<sha256>> size=<<number>>\n",
    ),
    (
        "prose",
        "security.md",
        "Keep the API key out of the repository. The token is read from `API_TOKEN`; passwords have at least 12 characters, and the\n"
        "secret: never share it. Release <<version>> (<<sha1>>) rotates every key. A token looks like `ghp_...` or `sk-...`.\n",
    ),
    (
        "schema",
        "openapi.yml",
        "components:\n  securitySchemes:\n    apiKey: {type: apiKey, in: header, name: X-API-Key}\n  schemas:\n    Login:\n      properties:\n"
        "        password: {type: string, format: password, minLength: 12}\n        token: {type: string, example: string}\n",
    ),
    ("numbers", "metrics.txt", "tokens_total 123456\nprompt_tokens: 4096\npassword_attempts=5\ntoken_bucket_size: 10000\nsecret_count 12\n"),
    ("addresses", "hosts.yml", "database: postgres://localhost:5432/shop\ncache: redis://cache.example.com:6379/0\ngit: https://git.example.com/acme/shop.git\n"),
    ("cursor", "page.json", '{"next_page_token": null, "cursor": "<<number>>", "has_more": false, "token_type": "Bearer", "expires_in": 3600}\n'),
    ("hexdump", "dump.txt", "00000000  7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00  |.ELF............|\nBuildID[sha1]=<<sha1>>\n"),
    ("encrypted", "secrets.enc.yml", "password: ENC[AES256_GCM,data:<<b32>>,iv:<<b32>>,tag:<<b32>>,type:str]\n"),
)
"""What it is, the file's name, and the text."""

PLACEHOLDERS = (
    "your-api-key-here", "YOUR_API_KEY", "<your-token>", "<<NAME>>", "${<<NAME>>}", "$<<NAME>>", "${{ secrets.<<NAME>> }}",
    "{{ .Values.<<camel>> }}", "{{ <<snake>> }}", "changeme", "REPLACE_ME", "replace-with-your-key", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX", "********", "...", "TODO", "dummy", "not-set", "none", "redacted", "[REDACTED]",
    "insert-key-here", "example-key", "vault:secret/data/shop#<<snake>>", "op://shop/<<kebab>>/value",
    "arn:aws:secretsmanager:eu-west-1:<<account>>:secret:<<kebab>>", "projects/acme/secrets/<<kebab>>/versions/latest",
    "/run/secrets/<<snake>>", "%(<<snake>>)s", "%<<NAME>>%", "#{<<NAME>>}", "00000000000000000000000000000000",
    "1234567890abcdef1234567890abcdef", "test", "secret", "my-secret-value", "your_<<snake>>_goes_here", "ref+vault://shop/<<kebab>>",
)  # fmt: skip
"""What stands where a secret will be, in the same texts and under the same names as the secrets."""
