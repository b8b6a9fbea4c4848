import 'reflect-metadata'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import session from 'express-session'
import { GateService } from './gate.service.js'
import { SessionController, sessionSeconds } from './session.controller.js'

@Module({ controllers: [SessionController], providers: [GateService] })
class AppModule {}

const { SESSION_SECRET = randomUUID(), PORT = '3000' } = process.env
const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ['error', 'warn'] })
// The page is the same as that of the example for Express.
app.useStaticAssets(fileURLToPath(new URL('../../express/public', import.meta.url)))
app.use(
  session({
    secret: SESSION_SECRET,
    resave: false,
    saveUninitialized: false,
    // SameSite keeps other sites from posting with this cookie. Behind TLS, set `secure` as well.
    cookie: { httpOnly: true, sameSite: 'strict', maxAge: sessionSeconds * 1000 },
  }),
)
await app.listen(Number(PORT), '127.0.0.1')
console.log(await app.getUrl())
