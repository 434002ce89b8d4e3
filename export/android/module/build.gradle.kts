// An Android library: one image classifier on LiteRT. README.md says how an app includes it.
plugins {
    id("com.android.library") // in an app, of the app's version; alone, of the catalog's
}

android {
    namespace = "{{package}}"
    compileSdk = {{catalog}}.versions.compileSdk.get().toInt()

    defaultConfig {
        minSdk = {{catalog}}.versions.minSdk.get().toInt()
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
        consumerProguardFiles("consumer-rules.pro")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    // Of these two, an app's APK takes the app's own settings, which are the same by default; the tests' APK takes these.
    androidResources {
        noCompress += "tflite" // LiteRT maps the network into memory as it lies in the APK
    }
    packaging {
        jniLibs.useLegacyPackaging = false // native libraries lie uncompressed, on boundaries of 16 KB
    }

    // The goldens and what reads them, for the tests on the JVM and those on a device.
    sourceSets {
        for (tests in listOf("test", "androidTest")) {
            getByName(tests) {
                kotlin.directories += "src/sharedTest/kotlin"
                resources.directories += "src/sharedTest/resources"
            }
        }
    }
}

dependencies {
    api({{catalog}}.litert)

    testImplementation({{catalog}}.junit)
    testImplementation({{catalog}}.json) // Android has its own

    androidTestImplementation({{catalog}}.junit)
    androidTestImplementation({{catalog}}.androidx.test.runner)
}
