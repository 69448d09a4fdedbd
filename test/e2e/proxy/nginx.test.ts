import { it } from 'vitest'
import { expectToWorkBehind } from './behind.ts'

it("works behind nginx, set up as the docs' example", () =>
  expectToWorkBehind(
    'nginx',
    (folder, file) => [
      '-p',
      folder,
      '-e',
      'stderr',
      '-c',
      file,
      '-g',
      'daemon off; master_process off; pid nginx.pid;',
    ],
    (example) => `
      events {}
      http {
        access_log off;
        client_body_temp_path body;
        proxy_temp_path proxy;
        fastcgi_temp_path fastcgi;
        uwsgi_temp_path uwsgi;
        scgi_temp_path scgi;
        ${example}
      }`,
  ))
