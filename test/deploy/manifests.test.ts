import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
import { Ajv } from 'ajv'
import { StatefulSet } from 'kubernetes-models/apps/v1'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { Service } from 'kubernetes-models/v1'
import t from 'tap'
import { parse } from 'yaml'
import { resolveConfig } from '../../src/config/resolve.js'
import { adminKey, jwtSecret, temporaryDirectory } from '../support/fixtures.js'

const deploy = fileURLToPath(new URL('../../deploy', import.meta.url))
const read = (...path: string[]): string => readFileSync(join(deploy, ...path), 'utf8')
const manifests = readdirSync(join(deploy, 'kubernetes')).filter(name => name !== 'kustomization.yaml')

const models = {
  Service,
  StatefulSet,
  PodDisruptionBudget,
  NetworkPolicy,
  HorizontalPodAutoscaler,
  ServiceMonitor,
} as const

t.test('the manifests conform to the schemas of Kubernetes and of the Prometheus operator', async t => {
  for (const file of manifests) {
    const document = parse(read('kubernetes', file))
    const Model = models[document.kind as keyof typeof models]
    t.doesNotThrow(() => new Model(document).validate(), file)
    t.equal(document.apiVersion, new Model().apiVersion, file)
    t.throws(() => new Model({ ...document, spec: 'none' }).validate(), file)
  }
})

t.test('the kustomization names every manifest', async t => {
  const text = read('kubernetes', 'kustomization.yaml')
  for (const file of manifests) t.match(text, new RegExp(`^#? +- ${file}$`, 'm'))
})

t.test('a gate starts with the variables of the manifest', async t => {
  const { spec } = parse(read('kubernetes', 'stateful-set.yaml'))
  const [container] = spec.template.spec.containers
  const env = Object.fromEntries(
    container.env.map(({ name, value = 'ticketgate-0' }: { name: string; value?: string }) => [name, value]),
  )
  const secret = { TICKETGATE_JWT_SECRET: jwtSecret, TICKETGATE_ADMIN_KEY: adminKey }
  const config = resolveConfig({ env: { NODE_ENV: 'production', ...env, ...secret } })
  t.match(config, { node: 'ticketgate-0', adminHost: '0.0.0.0', usersFile: '/etc/ticketgate/users.json' })
  t.ok(config.drainSeconds < spec.template.spec.terminationGracePeriodSeconds)
})

/** The variables that the compose file takes from the environment. */
const fromOutside: Record<string, string> = {
  TICKETGATE_ADMIN_KEY: adminKey,
  TICKETGATE_PUBLIC_URL: 'https://gate.example.com',
}

/** From the repository compose-spec/compose-spec, Apache License 2.0. */
const schema = JSON.parse(readFileSync(new URL('compose-spec.json', import.meta.url), 'utf8'))

t.test('the compose file conforms to its schema', async t => {
  const validate = new Ajv({ strict: false, validateFormats: false, validateSchema: false }).compile(schema)
  const document = parse(read('compose', 'compose.yaml'), { merge: true })
  t.ok(validate(document), JSON.stringify(validate.errors))
  t.notOk(validate({ ...document, services: { nginx: { imagine: 'nginx' } } }))
})

t.test('a gate starts with the variables of the compose file', async t => {
  const { services, secrets } = parse(read('compose', 'compose.yaml'), { merge: true })
  const { environment, ...gate } = services['gate-1']
  t.strictSame(Object.keys(secrets), gate.secrets)
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'jwt-secret'), jwtSecret)
  writeFileSync(join(directory, 'ticket-keys'), `1:${'k'.repeat(43)}`)
  const env = Object.fromEntries(
    Object.entries<string>(environment).map(([name, value]) => [
      name,
      value
        .replace('/run/secrets', directory)
        .replace(/^\$\{(\w+):.*\}$/, (_, given) => fromOutside[given] ?? ''),
    ]),
  )
  t.match(resolveConfig({ env: { NODE_ENV: 'production', ...env } }), { replay: 'redis', jwtSecret })
})

t.test('the nginx configuration of the compose file is the one that test/proxy runs', async t => {
  const tested = readFileSync(new URL('../proxy/nginx-unrouted.conf', import.meta.url), 'utf8')
  const nodes = tested.replaceAll(/10\.0\.0\.(\d)/g, 'gate-$1')
  t.equal(read('compose', 'nginx.conf'), nodes)
})
