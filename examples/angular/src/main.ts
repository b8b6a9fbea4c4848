import '@angular/compiler'
import { provideHttpClient, withFetch } from '@angular/common/http'
import { bootstrapApplication } from '@angular/platform-browser'
import { AppComponent } from './app.component'
import { GATE_URL } from './auth.service'

const gate = new URLSearchParams(location.search).get('gate') ?? 'http://127.0.0.1:8080'

await bootstrapApplication(AppComponent, {
  providers: [provideHttpClient(withFetch()), { provide: GATE_URL, useValue: gate }],
})
