#!/usr/bin/env python3
"""Make testdata/storyteller: a small Llama that writes coherent English, trained on stories this script makes up.

The text comes from a grammar, so nothing in it belongs to anybody else, and a held-out text is a matter of another seed.
One line of a plot is one step of the story; its notation:
  [a|b|]      one of the alternatives, the empty one included; they nest
  {slot}      a word from WORDS, drawn on first use and then kept: the lost kite of line 2 is found again in line 9
  {slot2}     a second, different word of the same list; {a:slot} puts "a" or "an" before it; {Slot} starts with a capital
  {hero} {he} {him} {his} {kind}, the same with f for the friend ({friend} {fhe} ...), {parent} {phe} {phim} {phis}: the cast
  {when}      "One day" in the first chapter, "The next day" and the like in later ones
A model of 2-3 million weights learns this language in minutes on one core, and what it then writes is easy to judge: the hero
keeps name and pronoun, the lost thing is the thing that is found, and the story ends. The file is long because half of it is
the grammar's own text.

  make_trained_model.py --sample 3            print three stories
  make_trained_model.py --steps 2400          train, then write testdata/storyteller
  make_trained_model.py --steps 2400 --resume continue from the checkpoint
"""

import argparse
import json
import math
import random
import re
import time
from pathlib import Path

WORDS = {
    "color": "red blue green yellow orange purple pink white brown golden".split(),
    "toy": "ball,kite,doll,teddy bear,toy train,toy boat,drum,puzzle,toy car,robot,hat,scarf,book,whistle".split(","),
    "animal": "bird,bunny,kitten,puppy,duckling,turtle,frog,butterfly,hedgehog,squirrel,lamb,owl".split(","),
    "place": "park,forest,garden,meadow,river,lake,farm,beach,hill,field".split(","),
    "spot": "under the bed,behind the sofa,under a bench,behind a big tree,in the tall grass,inside an old box,"
            "under the table,next to the gate,behind the red door,in the basket".split(","),
    "snack": "apple,cookie,sandwich,banana,pear,carrot,muffin,orange,pancake,peach".split(","),
    "fruit": "apples,berries,cherries,plums,pears,nuts,mushrooms,peaches".split(","),
    "cake": "chocolate cake,apple pie,carrot cake,berry pie,banana bread,lemon cake,honey cake".split(","),
    "plant": "sunflower,rose,tulip,bean,pumpkin,tomato,lily,daisy,carrot".split(","),
    "song": "song,dance,poem,magic trick".split(","),
    "size": "big small tiny huge little large".split(),
    "weather": "sunny,warm,bright,windy,cloudy,cold,quiet,lovely".split(","),
    "shape": "bear,castle,dragon,boat,star,heart,fish,crown".split(","),
    "glad": "happy,glad,proud,very happy,so happy,full of joy".split(","),
    "sad": "sad,upset,very sad,worried,a little sad".split(","),
    "number": "two,three,four,five,six,seven,ten".split(","),
}
GIRLS = "Lily Mia Anna Sara Rosa Emma Zoe Nora Lucy Ella Amy Kim Ruby Clara".split()
BOYS = "Tom Ben Max Sam Tim Leo Jack Dan Oscar Finn Noah Hugo Peter Bob".split()
PETS = "Pip Coco Bibi Momo Dot Rusty Fluffy Poppy Nibbles Bruno Tiki Biscuit".split()
PET_KINDS = "rabbit bear mouse fox duck squirrel hedgehog kitten puppy frog".split()

OPENINGS = """
Once upon a time, there was a [little|small|young|kind|brave|clever] {kind} named {hero}.
Once upon a time, in a [small|quiet|pretty] [town|village|valley], there lived a [little|kind|brave] {kind} named {hero}.
Once upon a time, there lived a [little|clever|happy] {kind}. {his} name was {hero}.
There once was a [little|kind|funny] {kind} named {hero}.
{hero} was a [little|kind|brave|curious] {kind} who lived in a [small house|little house|cozy house] near the {home}.
Long ago, near a [big|green|quiet] {home}, there lived a [little|brave|gentle] {kind} named {hero}.
"""
HABITS = """
{hero} loved to [play outside|sing songs|look at the clouds|run and jump|draw pictures|read books|dance in the garden].
{he} liked to [play|sing|walk|laugh] with {his} [best friend|good friend|friend] {friend}.
{hero} lived with {his} {parent}, and {phe} loved {him} very much.
Every day, {hero} went to the {home} to [play|run|look for new things|see {his} friends].
{he} had a [good|kind|funny] friend named {friend}. {friend} was a {fkind}.
Everyone liked {hero} because {he} was [kind and gentle|brave and clever|always ready to help|funny and friendly].
{he} had a {color} {toy}, and {he} took it [everywhere|with {him} everywhere|to bed every night].
"""

PLOTS = {
    "lost thing": """
{when}, {hero} [could not find|lost|wanted to play with] {his} {color} {toy}[, but it was gone|, and it was not in its place|].
{he} looked [in the kitchen|in {his} room|everywhere]. {he} looked [under the chair|behind the curtain|in the closet]. But the {toy} was not there.
{hero} felt {sad}. "[Where is my {toy}|Where could my {toy} be|Have you seen my {toy}]?" {he} asked {his} {parent}.
"[Do not worry|Do not cry|It is okay], {hero}," said {his} {parent}. "[Let us look for it together|We will find it|Think about where you had it last]."
[They looked and looked.|They looked in every room.|{hero} thought and thought.] [Then {his} friend {friend} came to help.|{friend} came over and helped, too.|]
[At last|Then|After a long time], {hero} looked {spot}. There it was! The {color} {toy} was {spot}!
"[I found it|Here it is|Look, my {toy}]!" {he} [shouted|cried|said with a big smile]. {he} hugged the {toy}[ and jumped up and down|].
[From then on|After that day], {hero} always put {his} {toy} [back in its place|in a safe place|on the shelf] [after playing|at night|when {he} was done].
""",
    "new friend": """
{when}, {hero} went to the {place}. {he} saw [a new {fkind} sitting alone|a {fkind} who was all alone|a {fkind} {he} did not know].
The {fkind} looked [shy|lonely|a little sad]. {hero} [walked up and smiled|wanted to be kind|went closer].
"Hello, my name is {hero}," {he} said. "What is your name?"
"[My name is|I am] {friend}," said the {fkind}[ in a small voice|]. "I am new here, and I [have no friends yet|do not know anyone]."
"[I can be your friend|We can be friends|Then I will be your first friend]," said {hero}. "Do you want to play [with my {toy}|a game|hide and seek]?"
{friend} [smiled|nodded and smiled|was so happy that {fhe} jumped]. They [played together all day|played in the {place} until the sun went down|ran and laughed all afternoon].
[They shared {a:snack}, too.|They found {number} pretty stones, too.|]
When it was time to go home, {friend} said, "[Thank you for playing with me|I am glad that I met you|You are my best friend], {hero}."
From that day on, {hero} and {friend} [were best friends|played together every day|met in the {place} every day].
""",
    "rainy day": """
{when}, {hero} wanted to go to the {place}, but [it was raining|it started to rain|big dark clouds came, and it rained].
{hero} looked out of the window and [sighed|felt {sad}|made a sad face]. "[I wanted to play outside|Now I cannot play outside|The rain is no fun]," {he} said.
{his} {parent} [smiled|sat down next to {him}]. "[We can have fun inside|Rain helps the flowers grow|We can play a game at home]," {phe} said. "[Let us build a house out of blankets|Let us make a boat out of paper|Let us paint a picture]."
So they [got some blankets and some chairs|sat down at the table|went to work]. {hero} made {a:size} {color} {shape}[ all by {himself}|].
[They drank warm milk and ate {a:snack}.|They sang a song about the rain.|They told funny stories.]
[Soon the rain stopped|After a while, the rain stopped|Then the sun came out], and there was a rainbow in the sky.
{hero} put on {his} {color} boots and jumped into [a big puddle|every puddle|{number} puddles]. Splash! Splash!
"[Rainy days are fun, too|I like the rain now|This was a good day]!" said {hero}, and {his} {parent} laughed.
""",
    "sharing": """
{when}, {hero} had {a:size} {snack}. [It looked so good.|{his} {parent} gave it to {him}.|It smelled very good.]
{he} sat down [under a tree|on a bench|near the {place}] to eat it. Then {his} friend {friend} came by.
{friend} looked at the {snack}. "[I am so hungry|I have nothing to eat|I forgot my lunch]," {fhe} said.
[At first, {hero} did not want to share.|{hero} wanted to eat it all.|{hero} looked at the {snack}, and then {he} looked at {friend}.] But {he} saw that {friend} was {sad}.
{hero} [cut|broke] the {snack} into two pieces. "[Here, this half is for you|One piece for you and one piece for me|You can have half of it]," {he} said.
"Thank you, {hero}!" said {friend}. "[You are so kind|You are a good friend|That is very nice of you]."
They ate together, and it tasted [even better|so good|sweet]. {hero} felt [warm inside|{glad}|good].
[The next time|Later], {friend} had {a:snack2}, and {fhe} shared it with {hero}. [They both smiled.|Sharing made them both happy.|]
""",
    "hurt animal": """
{when}, {hero} was walking [near|in|by] the {place}. {he} heard a [soft|small|sad] sound. It came from [behind a bush|under a leaf|behind a rock].
{he} looked and saw {a:size} {animal}. The {animal} [had a hurt leg|was hurt and could not move|was cold and afraid].
"[Do not be afraid|Poor little {animal}|I will help you]," said {hero}. {he} [picked it up|held it in {his} hands] very gently.
{hero} took the {animal} home to {his} {parent}. "[Can we help it|Can we take care of it], please?" {he} asked.
"[Of course|Yes, we can]," said {his} {parent}. They gave the {animal} [some water and food|some warm milk|a soft bed in a box]. {hero} [put a {color} blanket over it|sat next to it all night|sang to it].
[After {number} days|Day by day|After a few days], the {animal} [felt better|was strong again|got better and better]. {hero} was {glad}, but {he} knew that the {animal} missed its home.
So {hero} took it back to the {place}. "[Goodbye, little {animal}|Be safe, little {animal}]," {he} said[ and waved|].
The {animal} [looked back one time|made a happy sound] and went away. [But every week, it came back to visit {hero}.|{hero} never forgot {his} little friend.|Now it was free and happy.]
""",
    "brave rescue": """
{when}, {hero} and {his} friend {friend} were playing [near|by] the {place}. [They threw a {color} {toy} back and forth.|They were looking for {fruit}.|They ran and laughed.]
Suddenly, they heard [a cry|a loud cry|someone call]. "Help! Help!" A little {animal} was [stuck in a deep hole|stuck high up in a tree|stuck in the mud].
"[Oh no|Look at that poor {animal}]!" said {friend}. "[I am scared|What can we do|It is too far away]."
{hero} was [afraid, too|a little scared], but {he} [took a deep breath|wanted to be brave|did not run away]. "[We must help|I have an idea|I will try]," {he} said.
{he} found a long [rope|stick|branch]. {friend} held one end, and {hero} [held the other|went closer and closer with the other|reached out as far as {he} could].
"[Hold on|Take it|Do not let go]!" {hero} said to the {animal}. They pulled and pulled. At last, the {animal} was [safe|free]!
"Thank you," said the {animal}. "You are [so brave|very brave|heroes]."
{hero} [smiled|felt {glad}]. "I was scared," {he} said, "but [my friend helped me|I wanted to help you|we did it together]."
""",
    "bake a cake": """
{when}, {hero} wanted to [bake|make] {a:cake} [for {his} {parent}|for {his} friend {friend}|for {his} {parent}'s birthday].
{he} got [flour, eggs, and sugar|eggs, milk, and butter|a big bowl and a spoon]. {he} [mixed|stirred] and [mixed|stirred]. [Some flour fell on the floor.|Flour got on {his} nose.|An egg fell and broke.]
"[Oh no, what a mess|Oops]!" said {hero}. {he} was {sad}. But then {friend} came in. "[I can help you|Let us do it together|Do not worry]," said {friend}.
They [cleaned the floor|started again] and put [the {cake}|it] into the oven. They waited [for a long time|and waited]. [It smelled so good.|The whole house smelled sweet.]
When it was done, they put {number} {fruit} on top. It was the best {cake} in the [town|whole world].
"[Surprise|Look what we made]!" they said. {hero}'s {parent} [smiled a big smile|clapped {phis} hands|took a big bite]. "[This is so good|It is yummy|I love it]!" {phe} said.
They all ate the {cake} together[ and laughed|], and there was [nothing left|only one piece left|not a crumb left].
""",
    "garden": """
{when}, {his} {parent} gave {hero} a [tiny|small|little] seed. "[Plant it and take care of it|Put it in the ground|Be patient]," {phe} said. "[You will see a surprise|Something good will grow]."
{hero} dug a hole in the garden and put the seed in. {he} gave it water [every morning|every day|each day].
[The first day, nothing happened.|{he} waited and waited.|For {number} days, nothing happened.] "[Why does it not grow|Will it ever grow|Is my seed sleeping]?" {hero} asked.
"[Good things take time|Seeds need time, water, and sun|You must be patient]," said {his} {parent}.
[Then one morning|After {number2} days|At last], {hero} saw a [small|tiny] green leaf. "[It is growing|Look, look]!" {he} shouted.
The plant grew and grew. Soon, it was {a:size} {plant}! It was the [most beautiful|biggest|finest] {plant} in the garden.
{hero} showed it to {friend}. "[You took good care of it|It is so pretty|Can you teach me]," said {friend}[ with wide eyes|]. So {hero} gave {friend} a seed, too.
{hero} learned that [good things take time|it is good to be patient|little things can grow big].
""",
    "night sky": """
{when}, {hero} could not sleep. It was dark, and {he} was [afraid of the dark|a little scared|all alone in {his} room].
"{Parent}, I [am scared|cannot sleep]," {he} said. {his} {parent} came and [sat on the bed|took {his} hand|gave {him} a hug].
"[Come with me|Let me show you something]," said {his} {parent}. They went [outside|to the window] and looked up at the sky.
The sky was full of stars. [The moon was big and round.|The moon looked like a {snack}.|The moon was smiling down at them.] "[So many stars|How bright they are]!" said {hero}.
"[That one looks like {a:shape}|Do you see {a:shape} in the stars]," said {his} {parent}. "The stars [watch over us at night|are always there|shine when it is dark]."
{hero} [counted the stars|made a wish|waved at the moon]. [One, two, three, four, five.|{he} wished for a happy day.|It was so quiet and pretty.] Soon, {he} began to yawn.
{his} {parent} took {him} back to bed. "Good night, {hero}," {phe} said. "Good night, {Parent}," said {hero}. "[I am not afraid anymore|I like the dark now|Good night, stars]."
{he} closed {his} eyes and had a [sweet|happy|wonderful] dream about [the stars|the moon|{a:size} {shape}].
""",
    "kite": """
{when}, the wind was [strong|blowing]. {hero} took {his} {color} kite to the {place}. {friend} came along.
{hero} ran, and the kite went up, up, up into the sky. "[Look how high it is|It is flying]!" said {friend}.
But then [a big wind came|the string broke|the wind blew too hard], and the kite [flew away|got stuck in a tree|flew over the trees]. "[My kite|Oh no|Come back, kite]!" cried {hero}. {he} was {sad}.
[They ran after it|They followed it], past the [farm|pond|bridge] and over the [hill|road]. They met {a:size} {animal}. "Did you see a {color} kite?" asked {hero}.
"[Yes, I did|I saw it]," said the {animal}. "It is [in the old tree|on the roof of the barn|next to the pond]. I can [show you|help you]."
The {animal} [climbed up|went ahead] and brought the kite back. It had [a small hole|no hole at all|a little tear], but [{friend} fixed it with tape|it could still fly|that was okay].
"Thank you, {animal}!" said {hero}. [They let the {animal} fly the kite, too.|Then all three of them flew the kite together.]
""",
    "telling the truth": """
{when}, {hero} was playing with {a:toy} inside the house. [{his} {parent} had told {him} not to.|{he} was running very fast.|{he} threw it high in the air.]
Crash! The {toy} hit {a:color} [vase|lamp|cup], and it broke into [many|{number}] pieces.
{hero} was scared. [{he} hid the pieces {spot}.|{he} wanted to run away and hide.|{he} did not know what to do.]
{his} {parent} came in. "[What was that sound|What happened here|Who broke it]?" {phe} asked.
[At first, {hero} said nothing.|{hero} looked at the floor.|{hero}'s face turned red.] Then {he} said, "[I did it|It was me|I broke it], {Parent}. I am sorry."
{his} {parent} was quiet for a moment. Then {phe} [gave {him} a hug|took {his} hand|smiled]. "[Thank you for telling the truth|I am glad that you told me|It was brave to tell the truth]," {phe} said.
Together, they [cleaned up the pieces|picked up the pieces|swept the floor]. {hero} felt much better.
{he} learned that it is [always good|best|important] to tell the truth.
""",
    "helping": """
{when}, {hero} saw an old [man|woman|farmer] near the {place}. [The old one was carrying {number} heavy bags.|A basket had fallen down, and {fruit} were all over the ground.|A cart was stuck in the mud.]
"[Can I help you|Do you need help|May I help]?" asked {hero}.
"[Yes, please|Oh, thank you, dear|That is very kind of you]," came the answer. "[I am old and tired|It is too much for me|My back hurts today]."
{hero} worked [hard|very hard|as fast as {he} could]. {friend} saw {him} and came to help, too. [Together, they finished soon.|The two friends laughed as they worked.]
"[You are good children|Thank you both so much|You have kind hearts]," said the old [farmer|one|friend]. "[Here is a gift for you|Take this|I want to give you something]." It was {a:size} {snack}.
{hero} and {friend} [shared it|sat down and shared it] on the way home. [It was the best {snack} ever.|It tasted wonderful.]
{hero} told {his} {parent} all about it. "I am proud of you," {phe} said. "[Helping makes everyone happy|A kind heart is worth more than gold|It feels good to help]."
""",
    "learning": """
{when}, {hero} wanted to learn to [swim|ride a bike|climb a tree|skate|jump rope|whistle]. {he} tried, but [{he} fell down|it was too hard|it did not work].
{he} tried again and again. [{he} fell {number} times.|Still, {he} could not do it.] "[I will never do it|It is too hard for me|I give up]," {he} said. {he} was {sad}.
{friend} [heard {him}|came by] and sat down beside {him}. "[I could not do it at first, too|You have to practice|Do not give up]," {fhe} said. "[Try a little every day|I will show you how|Let us try together]."
So {hero} practiced [every day|every morning|with {friend}]. [First {he} was slow. Then {he} was faster.|Each day, it was a little easier.|{friend} held {his} hand.]
[Then one day|After {number2} days|At last], {hero} did it! "[I did it|Look at me|I can do it]!" {he} [shouted|cried out].
{friend} clapped and cheered. {his} {parent} came to see it, too. "[I knew that you could do it|You never gave up|I am so proud of you]," said {his} {parent}.
{hero} learned [never to give up|that practice helps|that trying again is the way to learn].
""",
    "birthday": """
{when}, it was {friend}'s birthday. {hero} wanted to give {fhim} a [nice|special] gift, but {he} had no money.
{hero} thought [hard|for a long time]. "[What can I give|What would {friend} like]?" {he} asked {his} {parent}.
"The best gifts [come from the heart|are the ones you make]," said {his} {parent}. So {hero} [took some paper and some paint|sat down to work|found some {color} paper].
{he} made {a:size} {color} {shape}. [It took all morning.|{he} worked very hard on it.] [It was not perfect, but it was pretty.|{he} put a {color2} ribbon on it.]
At the party, there was {a:cake} with {number} candles. Everyone sang. Then {friend} opened the gifts.
When {friend} saw the {shape}, {fhe} [gave {hero} a big hug|smiled from ear to ear|jumped with joy]. "[You made this for me|This is the best gift of all|I love it]!" {fhe} said.
{hero} was {glad}. [They danced and played games until night.|They all ate cake and played.]
""",
    "lost in the woods": """
{when}, {hero} went into the forest to look for {fruit}. {he} walked and walked[, and {he} did not look back|, and {his} basket was soon full|].
When {he} wanted to go home, {he} did not know the way. [All the trees looked the same.|It was getting dark.|The path was gone.] "[I am lost|Where is my home]," said {hero}. {he} was {sad}.
Then {he} saw {a:size} {animal} [on a branch|near a tree|on the path]. "[Why are you crying|What is wrong|Are you lost]?" asked the {animal}.
"I cannot find my way home," said {hero}. "[Can you help me|Please help me|Do you know the way]?"
"[Follow me|Come with me|I know this forest well]," said the {animal}. [They went over a bridge.|They walked along the river.|They went past a big {color} rock.] [Step by step|Soon], the forest was not so dark.
At last, {hero} saw the light of {his} house. {his} {parent} was waiting at the door. "[I was so worried|You are home|There you are]!" {phe} said and [hugged {him} tight|held {him} close].
{hero} gave the {animal} {number} {fruit} from {his} basket. "Thank you, my friend," {he} said.
[After that, {hero} never went so far alone.|From then on, {hero} always stayed on the path.|And they had warm soup for dinner.]
""",
    "the race": """
{when}, there was a race [in|near] the {place}. All the [children|animals|friends] came. {hero} and {friend} wanted to win.
"[I am the fastest|I will win]," said {friend}. "[We will see|Let us have fun]," said {hero}. One, two, three, go!
They ran and ran. {friend} was [first|ahead|in front]. {hero} was [right behind|close behind|second]. But then {friend} fell down and hurt {fhis} [leg|foot|knee].
{hero} [could run on and win the race|saw the end of the race in front of {him}]. But {he} stopped. "Are you okay?" {he} asked.
"[My leg hurts|I cannot run|It hurts]," said {friend}. "[Go on and win|You can win now]." But {hero} [shook {his} head|did not go]. "[A friend is more important than a race|We will finish together|I will not leave you here]," {he} said.
{hero} helped {friend} get up, and they walked to the end [hand in hand|side by side|together]. Everyone [clapped|cheered for them].
They did not win the race, but they got {a:color} [ribbon|medal|cup] for [being good friends|being kind]. {hero} and {friend} were {glad}.
""",
    "snow": """
{when}, {hero} woke up and saw that everything was white. "[Snow|It is snowing|Look at the snow]!" {he} shouted.
{he} put on {his} {color} [coat|scarf|hat] and ran outside. {friend} was there, too. "Let us make a [snowman|snow {shape}]!" said {friend}.
They rolled {a:size} ball of snow, and then another one. They used [{number} stones for the buttons|a carrot for the nose|two sticks for the arms]. {hero} put {his} {color} [scarf|hat] on it.
[Then they had a snow fight.|They slid down the hill.|They made snow angels.] They laughed and laughed. But soon, {hero}'s hands were cold.
{his} {parent} called, "[Come in|Come in and get warm], you two!" There was [hot chocolate|warm milk|hot soup] on the table and {a:snack} for each of them.
{hero} looked out of the window. The snow was still falling. "[Good night, snowman|I love winter|This was the best day]," {he} said.
[In spring, the snow was gone, but {hero} did not forget that day.|The next morning, it was still there.|]
""",
    "magic": """
{when}, {hero} found {a:size} {color} [stone|shell|feather|key] [near|by] the {place}. It [was shining|was warm|had a soft light].
"[I am magic|Hello, {hero}]," said a tiny voice. {hero} was so surprised that {he} [almost dropped it|sat down]. "[You can have one wish|I will give you one wish]. What do you want?"
{hero} thought about {a:toy}. {he} thought about {a:cake}. [Both were nice.|Those would be fun.] But then {he} thought about {his} friend {friend}, who was sick in bed.
"I wish that {friend} [feels better|will be well again]," said {hero}. There was a [bright|{color}] light, and then the voice was gone.
{hero} ran to {friend}'s house as fast as {he} could. {friend} opened the door with a smile. "[I feel so good today|I am not sick anymore]!" {fhe} said. "[Let us play|Do you want to play]?"
{hero} [smiled and did not say a word about the wish|told {friend} about the wish|hugged {friend}]. [That was better than {a:toy2}.|It was the best wish of all.]
They played [all day|in the sun|until dinner], and {hero} was {glad}.
""",
    "the show": """
{when}, there was a show at [school|the {place}]. {hero} wanted to [do|show] {a:song}, but {he} was [shy|nervous|afraid].
"What if [everyone laughs|I forget what to do]?" {he} asked {friend}. "[Then I will clap for you|Look at me and smile|I will be there]," said {friend}.
{hero} practiced {his} {song} [in {his} room|for {his} {parent}|for {number} days]. {his} {parent} [said it was very good|clapped every time].
The day of the show came. {hero} [stood in front of everyone|went up]. {his} legs shook, and {his} heart went boom, boom, boom. {he} looked for {friend}. {friend} [waved|smiled] at {him}.
{hero} took a deep breath and began. The {song} was [wonderful|so good|perfect]! When it was over, everyone [clapped and clapped|cheered|stood up and clapped].
"[You did it|You were great]!" said {friend}. "[I was scared, but I did it|Thank you for helping me be brave]," said {hero}.
{hero} was not [shy|nervous] anymore, and {he} was {glad}.
""",
    "saying sorry": """
{when}, {hero} and {friend} were playing with {a:toy}. Both of them wanted it [first|at the same time]. "[It is mine|Give it to me]!" said {hero}. "[No, it is my turn|No, I had it first]!" said {friend}.
They pulled and pulled, and then the {toy} [broke|fell into the mud|was broken]. {friend} [began to cry and went home|was angry and went away].
{hero} sat alone [in the {place}|on the step]. [Playing alone was no fun.|It was too quiet.] {he} felt {sad}.
"[What is wrong|Why are you so quiet], {hero}?" asked {his} {parent}. {hero} told {phim} [everything|what happened]. "[A true friend says sorry|You can say that you are sorry|A friend is more important than {a:toy}]," said {his} {parent}.
So {hero} fixed the {toy} [with glue|with some tape|and washed it] and went to {friend}'s house. "I am sorry," {he} said. "You can have the first turn."
"I am sorry, too," said {friend}. They hugged[ each other|]. [Then they took turns, and it was much more fun.|Then they played together again.]
""",
}

ENDINGS = """
{hero} went [home|to bed] with a smile. It had been a [wonderful|good|very special] day.
{his} {parent} was {glad}, and so was {hero}.
And they all lived happily ever after.
{hero} and {friend} [stayed|were] good friends for [ever|a long time|many years].
That night, {hero} told {his} {parent} all about it and fell asleep [with a smile|right away|happy].
It was a day that {hero} would never forget.
"""
WHENS = ["One day", "One {weather} day", "One {weather} morning", "One afternoon", "One {weather} Saturday", "One morning"]
LATER = ["The next day", "A few days later", "One week later", "Soon after that", "The next morning", "Some time later"]
PRONOUNS = {"girl": ("she", "her", "her", "herself"), "boy": ("he", "him", "his", "himself")}
CHAPTER_ODDS = [0.62, 0.30, 0.08]  # of one, two and three chapters


class Teller:
    """One story: the cast and the slots that are already drawn."""

    def __init__(self, rng):
        self.rng = rng
        self.slots = {}
        self.cast("", "hero", None)
        self.cast("f", "friend", self.slots["hero"])
        self.slots["home"] = rng.choice(WORDS["place"])
        parent = rng.choice(["mom", "dad", "grandma", "grandpa"])
        self.slots["parent"] = parent
        she, her, hers, _ = PRONOUNS["girl" if parent in ("mom", "grandma") else "boy"]
        self.slots.update(phe=she, phim=her, phis=hers)

    def cast(self, prefix, role, taken):
        sex = self.rng.choice(["girl", "boy"])
        pet = self.rng.random() < 0.3
        names = [n for n in (PETS if pet else GIRLS if sex == "girl" else BOYS) if n != taken]
        he, him, his, himself = PRONOUNS[sex]
        self.slots.update({role: self.rng.choice(names), prefix + "kind": self.rng.choice(PET_KINDS) if pet else sex,
                           prefix + "he": he, prefix + "him": him, prefix + "his": his, prefix + "himself": himself})

    def slot(self, name):
        if name.startswith("a:"):
            word = self.slot(name[2:])
            return ("an " if word[0] in "aeiou" else "a ") + word
        if name[0].isupper():
            word = self.slot(name[0].lower() + name[1:])
            return word[0].upper() + word[1:]
        if name not in self.slots:
            kind = name.rstrip("0123456789")
            used = {v for k, v in self.slots.items() if k.rstrip("0123456789") == kind}
            self.slots[name] = self.rng.choice([w for w in WORDS[kind] if w not in used])
        return self.slots[name]

    def expand(self, text):
        while match := re.search(r"\[([^\[\]]*)\]", text):
            text = text[:match.start()] + self.rng.choice(match.group(1).split("|")) + text[match.end():]
        text = re.sub(r"\{([^}]+)\}", lambda m: self.slot(m.group(1)), text)
        upper = lambda m: m.group(1) + m.group(2).upper()  # noqa: E731
        text = re.sub(r'(^"?|[.!?] "?|\." "?|, "|: ")([a-z])', upper, text)
        return text

    def chapter(self, plot, first):
        for key in [k for k in self.slots if k.rstrip("0123456789") in WORDS]:
            del self.slots[key]  # the cast stays, the things change
        self.slots["when"] = self.expand(self.rng.choice(WHENS if first else LATER))
        return " ".join(self.expand(line) for line in PLOTS[plot].strip().split("\n"))


def story(seed, index):
    """Story number `index` of stream `seed`: the same on every machine."""
    rng = random.Random(f"{seed}/{index}")
    teller = Teller(rng)
    lines = lambda block: block.strip().split("\n")  # noqa: E731
    habits = rng.sample(lines(HABITS), rng.choice([0, 1, 1, 2]))
    intro = [teller.expand(line) for line in [rng.choice(lines(OPENINGS))] + habits]
    count = rng.choices([1, 2, 3], CHAPTER_ODDS)[0]
    plots = rng.sample(sorted(PLOTS), count)
    paragraphs = [" ".join(intro)] + [teller.chapter(plot, i == 0) for i, plot in enumerate(plots)]
    if rng.random() < 0.6:
        paragraphs[-1] += " " + teller.expand(rng.choice(lines(ENDINGS)))
    if rng.random() < 0.3:
        paragraphs.append("The end.")
    return "\n".join(paragraphs)


# ---- the model ----------------------------------------------------------------------------------------------------

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 1024, "hidden_size": 256,
    "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 32,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0, "tie_word_embeddings": True,
    "initializer_range": 0.02, "bos_token_id": 0, "eos_token_id": 1, "use_cache": True, "torch_dtype": "bfloat16",
}
BOS, EOS = "<|bos|>", "<|eos|>"
TRAIN_SEED, HELD_OUT_SEED, TOKENIZER_SEED = "train", "held-out", "tokenizer"
HELD_OUT_BYTES = 30000
SEPARATOR = "<|endoftext|>"  # a line of its own between the stories of heldout.txt; never a token
BATCH = 8
PROMPTS = ["Once upon a time", "Once upon a time, there was a little girl named Lily. She had a friend named Tom.",
           "One day, Ben could not find his red kite."]


def make_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=CONFIG["vocab_size"], special_tokens=[BOS, EOS], show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator((story(TOKENIZER_SEED, i) for i in range(2000)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B",
                                                             special_tokens=[(BOS, 0), (EOS, 1)])
    assert tokenizer.get_vocab_size() == CONFIG["vocab_size"], tokenizer.get_vocab_size()
    return tokenizer


def ids_of(tokenizer, seed, index):
    """<bos> story <eos>, or None when it does not fit the context."""
    ids = tokenizer.encode(story(seed, index)).ids + [CONFIG["eos_token_id"]]
    return ids if len(ids) <= CONFIG["max_position_embeddings"] else None


def batches(tokenizer, steps):
    """Batches of stories of similar length, so that little is padding: 64 batches are drawn, sorted and shuffled at a time."""
    index, window = 0, 64
    for start in range(0, steps, window):
        rows = []
        while len(rows) < window * BATCH:
            ids = ids_of(tokenizer, TRAIN_SEED, index)
            index += 1
            if ids:
                rows.append(ids)
        rows.sort(key=len)
        groups = [rows[i:i + BATCH] for i in range(0, len(rows), BATCH)]
        random.Random(f"order/{start}").shuffle(groups)
        yield from groups


def build_model():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(0)
    keys = {k: v for k, v in CONFIG.items() if k not in ("architectures", "model_type", "torch_dtype", "rope_scaling", "rope_theta")}
    return LlamaForCausalLM._from_config(LlamaConfig(**keys, rope_theta=CONFIG["rope_theta"]), attn_implementation="sdpa").float()


def train(tokenizer, steps, peak_rate, checkpoint, resume):
    import torch
    model = build_model()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    kept = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}],
                                  lr=peak_rate, betas=(0.9, 0.98), eps=1e-9, foreach=True)
    done = 0
    if resume and checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["step"]
    began, seen = time.time(), 0
    for step, rows in enumerate(batches(tokenizer, steps)):
        if step < done:
            continue
        if step >= steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = peak_rate * schedule(step, steps)
        loss = step_loss(model, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += sum(map(len, rows))
        if step % 20 == 0:
            print(f"step {step} loss {loss.item():.4f} {seen / (time.time() - began):.0f} tokens/s", flush=True)
        if step % 200 == 199:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, checkpoint)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": steps}, checkpoint)
    return model


def schedule(step, steps):
    """Warm up, stay, then fall in a line over the last 40 %: a run may be shortened or extended while it stays."""
    return min(1.0, (step + 1) / 60, max(0.01, (steps - step) / (0.4 * steps)))


def step_loss(model, rows):
    """Mean loss over the real tokens; rows are padded on the right, which causal attention never sees."""
    import torch
    width = max(map(len, rows))
    x = torch.tensor([r + [0] * (width - len(r)) for r in rows])
    target = torch.tensor([r[1:] + [-100] * (width - len(r) + 1) for r in rows])
    logits = model(input_ids=x, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100)


# ---- evaluation and files -----------------------------------------------------------------------------------------

def held_out_text():
    stories = []
    while sum(len(s) + len(SEPARATOR) + 2 for s in stories) < HELD_OUT_BYTES:
        stories.append(story(HELD_OUT_SEED, len(stories)))
    return f"\n{SEPARATOR}\n".join(stories) + "\n"


def perplexity(model, tokenizer, text):
    """Sum of -log p over every predicted token: <bos> story, one sequence each, no <eos>."""
    import torch
    total, count = 0.0, 0
    for piece in text.split(SEPARATOR):
        ids = tokenizer.encode(piece.strip()).ids[:CONFIG["max_position_embeddings"]]
        logits = model(torch.tensor([ids])).logits[0, :-1]
        nll = torch.nn.functional.cross_entropy(logits.double(), torch.tensor(ids[1:]), reduction="sum")
        total, count = total + nll.item(), count + len(ids) - 1
    return total, count


def greedy(model, ids, limit):
    import torch
    ids, out = list(ids), []
    while len(out) < limit and (not out or out[-1] != CONFIG["eos_token_id"]):
        out.append(int(model(torch.tensor([ids + out])).logits[0, -1].argmax()))
    return out


def expected(model, tokenizer, text):
    import torch
    import transformers
    results = {"transformers": transformers.__version__, "compute": "float32 from the stored bfloat16 weights", "prompts": []}
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        logits = model(torch.tensor([ids])).logits[0]
        out = greedy(model, ids, 64)
        results["prompts"].append({
            "text": prompt, "ids": ids, "logits_last": [float(f"{v:.7g}") for v in logits[-1].tolist()],
            "logits_first": [float(f"{v:.7g}") for v in logits[0].tolist()], "greedy": out,
            "greedy_text": tokenizer.decode(out, skip_special_tokens=True)})
    ids = tokenizer.encode(PROMPTS[0]).ids
    out = greedy(model, ids, CONFIG["max_position_embeddings"] - len(ids))
    results["story"] = {"text": PROMPTS[0], "ids": ids, "greedy": out, "greedy_text": tokenizer.decode(out)}
    nll, tokens = perplexity(model, tokenizer, text)
    results["heldout"] = {"file": "heldout.txt", "separator": SEPARATOR, "stories": text.count(SEPARATOR) + 1, "tokens": tokens,
                          "mean_nll": round(nll / tokens, 6), "perplexity": round(math.exp(nll / tokens), 5)}
    return results


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_model(model, tokenizer, out, steps):
    import torch
    from safetensors.torch import save_file
    out.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    write_json(out / "config.json", CONFIG)
    write_json(out / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1, "max_length": 512})
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "add_bos_token": True,
        "add_eos_token": False, "clean_up_tokenization_spaces": False, "model_max_length": 512})
    tokenizer.save(str(out / "tokenizer.json"))
    text = held_out_text()
    (out / "heldout.txt").write_text(text)
    model.load_state_dict({k: v.to(torch.bfloat16).float() for k, v in model.state_dict().items()})
    results = expected(model.eval(), tokenizer, text)
    (out / "expected.json").write_text(compact(results))
    write_readme(out, results, sum(v.numel() for v in tensors.values()), steps)
    print(results["story"]["greedy_text"])
    print(results["heldout"])


def compact(results):
    """JSON with one line per list of numbers, so that a diff stays readable."""
    text = json.dumps(results, ensure_ascii=False, indent=1)
    return re.sub(r"\[\s+(-?[\d.e+-]+(?:,\s+-?[\d.e+-]+)*)\s+\]", lambda m: "[" + re.sub(r"\s+", "", m.group(1)) + "]", text) + "\n"


README = """# storyteller

A Llama of {params:,} weights that writes short stories for small children. Made by `scripts/make_trained_model.py`: the same
script makes up the stories it is trained on, so the weights, the tokenizer and the texts are this project's own, under its licence.

| | |
|---|---|
| shape | hidden {hidden_size}, {num_hidden_layers} layers, {num_attention_heads} heads of 32, {num_key_value_heads} kv heads, feed-forward {intermediate_size}, vocabulary {vocab_size}, context 512, tied |
| stored | bfloat16, `model.safetensors` |
| tokenizer | byte-level BPE (GPT-2 expression), `<|bos|>` 0 put first, `<|eos|>` 1 |
| training | {steps} steps of {batch} stories, AdamW, 2e-3 falling over the last 40 %, one pass, CPU |
| held-out perplexity | **{perplexity}** over {tokens} tokens of `heldout.txt` (mean negative log-likelihood {mean_nll}) |

Protocol of the perplexity: `heldout.txt` holds {stories} stories of another seed, separated by a line `<|endoftext|>`; white
space at both ends of a story is dropped; each story is a sequence of its own, `<|bos|>` first, no `<|eos|>`; the mean is taken over
all predicted tokens of all stories. Weights as stored (bfloat16), arithmetic in float32.

`expected.json`: `prompts[]` with `text`, `ids`, `logits_last`, `logits_first` (logits after the last and after the first token), `greedy`
(up to 64 ids, stops after `<|eos|>`), `greedy_text`; `story` is the whole story after "Once upon a time"; `heldout` the perplexity.
"""


def write_readme(out, results, params, steps):
    held = results["heldout"]
    (out / "README.md").write_text(README.format(params=params, steps=steps, batch=BATCH, **CONFIG, **{
        k: held[k] for k in ("perplexity", "tokens", "mean_nll", "stories")}))


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=root / "testdata/storyteller")
    parser.add_argument("--checkpoint", type=Path, default=Path("storyteller.pt"), help="kept between runs, not part of the model")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--sample", type=int, metavar="N", help="print N stories and stop")
    args = parser.parse_args()
    if args.sample:
        print(f"\n{SEPARATOR}\n".join(story(TRAIN_SEED, i) for i in range(args.sample)))
        return
    import torch
    torch.set_num_threads(args.threads)
    tokenizer = make_tokenizer()
    model = train(tokenizer, args.steps, args.rate, args.checkpoint, args.resume)
    with torch.no_grad():
        write_model(model, tokenizer, args.out, args.steps)


if __name__ == "__main__":
    main()
