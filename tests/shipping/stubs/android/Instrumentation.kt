package android.app

import android.content.Context

open class Instrumentation(val targetContext: Context)
